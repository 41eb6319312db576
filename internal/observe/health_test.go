package observe

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
)

// A holder that serves reads is no primary that anybody saw write, and may freeze all the same: a commit is tried of
// whoever does not say what it is. What was tried so counts nothing once it says that it is a standby.
func TestCommitIsTriedWhereTheServerIsSilent(t *testing.T) {
	dir := t.TempDir()
	silent, err := net.Listen("unix", filepath.Join(dir, fmt.Sprintf(".s.PGSQL.%d", 5432))) // connections queue, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	now := core.Instant(time.Hour)
	s := &LocalSource{Now: func() core.Instant { return now }, Instance: postgres.Instance{DataDir: dir, SocketDir: dir, Port: 5432}}
	look := func(state core.InstanceState, after time.Duration) core.Probe {
		l := core.Local{Warden: core.Warden{Alive: true}, Instance: core.Instance{State: state}}
		for end := now.Add(after); ; now = now.Add(time.Second) {
			s.look(&l)
			if now >= end {
				return l.Probe
			}
		}
	}
	if p := look(core.StateUnknown, 0); !p.Pending {
		t.Fatalf("nothing was tried: %+v", p)
	}
	if p := look(core.StateUnknown, 11*time.Second); p.Open(now) < 10*time.Second {
		t.Errorf("silent for 11s, and the commit counts as open for %s", p.Open(now))
	}
	if p := look(core.StateRunning, 0); p != (core.Probe{}) {
		t.Errorf("a standby is told to have a commit open: %+v", p)
	}
	if p := look(core.StateUnknown, 0); p.Open(now) > time.Second {
		t.Errorf("silent anew, and it counts as open for %s", p.Open(now))
	}
}
