package patroni

import (
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/snapshot"
)

// State is PostgreSQL's state in Patroni's words (PostgresqlState in its postgresql/misc.py). The numbers stand in a metric
// and never change.
type State struct {
	Number int
	Word   string
}

var (
	initializing = State{0, "initializing new cluster"}
	creating     = State{4, "creating replica"}
	running      = State{5, "running"}
	starting     = State{6, "starting"}
	stopping     = State{11, "stopping"}
	stopped      = State{12, "stopped"}
	crashed      = State{14, "crashed"}
	unknown      = State{-1, "unknown"}
)

// StateOf is this member's. A loop that stands still knows no state.
func StateOf(s *snapshot.Snapshot) State {
	l := &s.View.Local
	state := stateOf(l.Instance.State, l.Job)
	switch {
	case state == running && !s.Running():
		return unknown
	case state == stopped && l.Warden.ExitText != "":
		return crashed
	}
	return state
}

func stateOf(instance core.InstanceState, job core.Job) State {
	if job.Running {
		switch core.StepKind(job.Kind) {
		case core.StepInit:
			return initializing
		case core.StepClone, core.StepRewind:
			return creating
		}
	}
	switch instance {
	case core.StateRunning:
		return running
	case core.StateStarting:
		return starting
	case core.StateStopping:
		return stopping
	case core.StateStopped:
		return stopped
	}
	return unknown
}
