//go:build lab

package lab

import (
	"time"

	"github.com/pgherd/pgherd/lab/history"
)

var _ = add(
	scenario{name: "planned-switchover", bounds: history.Bounds{OutageMax: 3 * time.Second, ChangesMax: 2}, run: plannedSwitchover},
)

// plannedSwitchover goes to a named member and back.
func plannedSwitchover(l *Lab) {
	old := l.primary()
	to := l.Cluster.Others(old)[1]
	l.Mark("switchover to %s", to.Name)
	old.Must("switchover", to.Name)
	l.Cluster.WaitReady(60 * time.Second)
	l.Mark("and back to %s", old.Name)
	to.Must("switchover", old.Name)
	if p := l.primary(); p != old {
		l.T.Errorf("%s leads, not %s", p.Name, old.Name)
	}
	l.tells(10*time.Second, "operation", "done")
}
