package act

import (
	"time"

	"github.com/pgherd/pgherd/internal/postgres"
)

// How PostgreSQL's end or opening is awaited on the way of a handover: the control file is the first to
// tell, 40 to 100 ms before the process ends, and costs a read of one page. Each millisecond here
// is one that clients are held.
const (
	awaitStep  = time.Millisecond
	awaitLimit = 10 * time.Second // the ticks see it too, only later
)

// await wakes the loop when the control file says want. It holds up nobody.
func (r *Runner) await(want postgres.ControlState) {
	if r.Wake == nil {
		return
	}
	dir := r.Server.Instance.DataDir
	go func() {
		step := awaitStep
		for end := time.Now().Add(awaitLimit); time.Now().Before(end); time.Sleep(step) {
			if c, err := postgres.ReadControl(dir); err == nil && c.State == want {
				r.Wake()
				return
			}
			step = min(step+step/20, 10*awaitStep) // what takes long can wait a little longer
		}
	}()
}
