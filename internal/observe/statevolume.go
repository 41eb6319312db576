package observe

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
)

// stateEvery is how often the state directory's volume is measured.
const stateEvery = 10 * time.Second

// StateVolume is the space where this member keeps its share of the store, the journal and saved forks. On a volume that
// data or WAL lie on too it says nothing: what becomes of that is told by theirs.
type StateVolume struct {
	Dir    string
	Beside []string // directories of PostgreSQL; none on a witness

	flight flight
	room   atomic.Pointer[core.Room]
	at     time.Time // of the last look begun; only View's caller touches it
}

// view gives the last answer, and begins another look when that is old. It waits for nothing: statfs may hang.
func (s *StateVolume) view() core.Room {
	if s == nil {
		return core.Room{}
	}
	if time.Since(s.at) > stateEvery {
		s.at = time.Now()
		s.flight.start(func() { s.room.Store(s.look()) })
	}
	if room := s.room.Load(); room != nil {
		return *room
	}
	return core.Room{}
}

func (s *StateVolume) look() *core.Room {
	own, err := os.Stat(s.Dir)
	if err != nil {
		return &core.Room{}
	}
	for _, dir := range s.Beside {
		if other, err := os.Stat(dir); err == nil && device(own) == device(other) {
			return &core.Room{}
		}
	}
	free, size, err := postgres.Room(s.Dir)
	if err != nil {
		return &core.Room{}
	}
	return &core.Room{Free: free, Size: size}
}

func device(info os.FileInfo) uint64 {
	st, _ := info.Sys().(*syscall.Stat_t)
	return st.Dev
}
