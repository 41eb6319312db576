package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/privilege"
	"github.com/pgherd/pgherd/internal/sdnotify"
	"github.com/pgherd/pgherd/internal/statedir"
)

// Run is the agent until ctx ends. As root it first becomes the owner of the state
// directory. When ctx ends it stops PostgreSQL (a primary hands over first, when it
// can); on SIGUSR2, or with DetachOnExit, it leaves PostgreSQL running under the warden.
func Run(ctx context.Context, o Options) error {
	// Neither the agent nor PostgreSQL runs as root. The owner of the state directory is who init or join chose.
	if err := privilege.BecomeOwner(o.Config.StateDir, o.Config.VIP.Interface != ""); err != nil {
		return err
	}
	if err := privilege.Confine(); err != nil {
		o.Log.Error("capabilities", "error", err)
	}
	postgres.ForgetVariables()
	supervisor := sdnotify.Open()
	id, err := LoadIdentity(o.Config.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s belongs to no cluster yet: `pgherd init` makes one, `pgherd join` joins one", o.Config.StateDir)
	}
	if err != nil {
		return err
	}
	if id.Member != o.Config.Name {
		return fmt.Errorf("%s is the state of member %s, but the configuration is for %s", o.Config.StateDir, id.Member, o.Config.Name)
	}
	footprint()
	lock, err := statedir.Lock(o.Config.StateDir)
	if err != nil {
		return err
	}
	defer lock.Close()

	again, err := serveOnce(ctx, o, id, supervisor)
	if again && ctx.Err() == nil {
		o.Log.Info("beginning anew, as a member of another store")
		lock.Close()
		privilege.PassOn()
		supervisor.PassOn()
		return fmt.Errorf("executing pgherd anew: %w", syscall.Exec(selfExe, os.Args, os.Environ()))
	}
	return err
}

// serveOnce is the agent's life in this process; again: it is to begin anew.
func serveOnce(ctx context.Context, o Options, id Identity, supervisor *sdnotify.Supervisor) (again bool, err error) {
	a, err := build(ctx, o, id)
	if err != nil {
		return errors.Is(err, errBegin), err
	}
	a.supervisor = supervisor
	defer a.close()
	detach := make(chan os.Signal, 1)
	signal.Notify(detach, syscall.SIGUSR2)
	defer signal.Stop(detach)
	err = a.serve(ctx, detach)
	return a.again.Load(), err
}

// errBegin: what stood in the way of the start is set aside, and a new process can begin.
var errBegin = errors.New("the start is to be repeated in a new process")

// footprint keeps the agent small beside a database that wants the memory. One
// processor is plenty for a few messages a second, and was measured to cost a fifth
// less CPU than two (TestFootprint of store/embed); the garbage is worth collecting early.
func footprint() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(50)
	time.AfterFunc(20*time.Second, debug.FreeOSMemory) // what only the start needed
}
