//go:build lab

package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgherd/pgherd/internal/replay"
	"github.com/pgherd/pgherd/lab/cluster"
)

// checkDecisions makes all members' journalled decisions again. A broken invariant fails the
// scenario, also one that ended early. Another plan is only told: in the upgrade it is due to another
// version, anywhere else to what the journal does not keep.
func (l *Lab) checkDecisions() {
	l.T.Helper()
	decisions, other := 0, 0
	for _, m := range l.Cluster.Members {
		player := replay.New(func(r replay.Result) {
			for _, b := range r.Broken {
				l.T.Errorf("decision of %s at %s: %s (%s)", r.Member, r.At.Format("15:04:05.000"), b.Violation, b.Of)
			}
			if !r.Same {
				recorded, decided := r.Texts()
				l.T.Logf("decision of %s at %s is another when made again: was %s; is %s", r.Member, r.At.Format("15:04:05.000"), recorded, decided)
			}
		})
		l.readJournal(m, player)
		for _, s := range player.End() {
			decisions, other = decisions+s.Decisions, other+s.Other
		}
	}
	l.T.Logf("%d decisions made again, %d are others now", decisions, other)
}

// readJournal plays a member's files, the oldest first. What cannot be read (a damaged disk) is told.
func (l *Lab) readJournal(m *cluster.Member, player *replay.Player) {
	for i := 3; i >= 0; i-- {
		name := filepath.Join(m.StateDir, "journal", "journal.jsonl")
		if i > 0 {
			name = fmt.Sprintf("%s.%d", name, i)
		}
		f, err := os.Open(name)
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			_, err = player.Read(f)
			f.Close()
		}
		if err != nil {
			l.T.Logf("the journal of %s cannot be read: %v", m.Name, err)
		}
	}
}
