package agent

import (
	"context"
	"os"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/health"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/warden"
)

// How old facts may be that are given to others: while an operation runs or nobody
// leads, members wait for each other's positions.
const (
	factsAge     = 1500 * time.Millisecond
	factsAgeBusy = 8 * time.Millisecond
)

// status is this member as others see it: the last decision, with facts of now.
// Vacant stays that of the decision: it promises something about the facts it was made on.
func (a *Agent) status() peer.Status {
	e := a.latest()
	s := peer.Status{
		Name: a.o.Config.Name, Ordinal: a.id.Ordinal, Version: a.o.Version, Witness: a.o.Config.Witness,
		Job: a.jobs.View(), Term: e.Report.Term, Beat: e.Report.Beat, Vacant: e.Report.Vacant, Rejected: e.Report.Rejected, Unwatched: e.Report.Unwatched, Unwell: e.Report.Unwell,
		Stopping: a.stopSince.Load() != 0, AgentPID: os.Getpid(), Decision: decision(e),
	}
	s.Share, s.Belongs, s.Founding = string(a.share()), a.gen.Number, a.founding.Load()
	if k := a.kept.newest(); k != nil {
		s.Generation = k.Generation
	}
	if a.server == nil {
		return s
	}
	s.CommitMS = float64(e.View.Local.Probe.Took.Microseconds()) / 1000
	age := factsAge
	if e.View.Store.Operation.Active() || e.Report.Vacant {
		age = factsAgeBusy
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	s.Instance = a.observer.Local.Fresh(ctx, age)
	w := a.warden.status()
	s.WardenPID, s.PostgresPID = w.WardenPID, w.PostmasterPID
	return s
}

func decision(e journal.Entry) peer.Decision {
	d := peer.Decision{At: e.At.Format(time.RFC3339Nano), Role: e.Report.Role, Reasons: e.Report.Reasons, Failed: e.Outcome}
	for _, s := range e.Plan.Steps {
		d.Steps = append(d.Steps, peer.StepText{Step: string(s.Kind), Why: s.Why})
	}
	for _, c := range e.Report.Conditions {
		d.Conditions = append(d.Conditions, peer.Condition{
			Code: c.Code, Severity: c.Severity, Text: c.Text, Hint: c.Hint, Since: wallTime(c.Since).Format(time.RFC3339),
		})
	}
	return d
}

// wallTime turns an instant of this machine into wall time, for people only.
func wallTime(i core.Instant) time.Time {
	return time.Now().Add(i.Sub(warden.BootNow())).UTC()
}

// statuses are all members' newest words, this one's included.
func (a *Agent) statuses() map[string]peer.Status {
	all := a.observer.Peers.Statuses()
	all[a.o.Config.Name] = a.status()
	return all
}

// health is what load balancers are answered by: this process's own last decision, never one from a journal.
func (a *Agent) health() health.Facts {
	e := a.latest()
	return health.Facts{Now: warden.BootNow(), Decided: e.View.Now, View: e.View, Report: e.Report}
}
