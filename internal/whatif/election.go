package whatif

import (
	"fmt"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

// How long an election is followed, and in which steps: candidates of lower rank wait a second for each better one.
const (
	electionMax  = 15 * time.Second
	electionStep = 100 * time.Millisecond
)

// election has each member that is left decide on its own, at the same moments, from when it may think of the lease as
// vacant. afterMin and afterMax say when that is, counted from the fault.
func (w *world) election(a *Answer, l core.LeaseRecord, afterMin, afterMax time.Duration) {
	candidates := map[string]*candidate{}
	for _, name := range w.names {
		if w.up(name) && !w.record(name).Witness {
			candidates[name] = w.candidate(name, l)
		}
	}
	for t := time.Duration(0); t < electionMax; t += electionStep {
		for _, name := range w.names {
			c, ok := candidates[name]
			if !ok {
				continue
			}
			if taken, why := c.decide(electionStep); taken != nil {
				w.elected(a, name, why, taken, afterMin+t, afterMax+t)
				w.losers(a, candidates, name)
				return
			}
		}
	}
	a.Text, a.StopMax, a.LossMax, a.Loss = "nobody can take over", -1, 0, "nothing, as long as who has it comes back"
	if w.Store.Paused {
		a.Text = "nobody takes over: the cluster is paused"
	}
	w.losers(a, candidates, "")
}

func (w *world) elected(a *Answer, name string, why core.Reason, l *core.LeaseRecord, from, to time.Duration) {
	a.Leader = name
	if w.Store.Spec.Durability == spec.DurabilitySync {
		a.KeptOn = w.followers(name) // as soon as they follow
	}
	a.StopMin, a.StopMax = from.Seconds(), (to + promotion).Seconds()
	a.Text = fmt.Sprintf("%s takes over: %s", name, why.Text)
	a.Loss = "no acknowledged commit"
	if len(l.Lost) > len(w.Store.Lease.Lost) {
		loss := l.Lost[len(l.Lost)-1]
		a.LossMax = max(0, loss.To.Sub(loss.From.LSN))
		a.Loss = fmt.Sprintf("up to %d bytes of WAL, as of now, and what the primary writes until it fails", a.LossMax)
	}
	a.Degraded = w.degraded(a)
}

// losers are those that could be asked, and what they say.
func (w *world) losers(a *Answer, candidates map[string]*candidate, winner string) {
	for _, name := range w.names {
		switch c := candidates[name]; {
		case name == winner:
		case w.record(name).Witness:
			a.say(name, "witness", "it votes and runs no PostgreSQL")
		case !w.up(name):
			a.say(name, "down", "it does not answer")
		case !w.hasStore(name):
			a.say(name, "no_store", "it reaches no majority of the store's voters, and cannot take the lease")
		case c != nil && c.speaks():
			a.Reasons = append(a.Reasons, Because{name, c.said[len(c.said)-1]})
		}
	}
}

// speaks: what it says when it, too, is done with what comes before an election.
func (c *candidate) speaks() bool {
	for range 2 {
		if taken, _ := c.decide(0); taken != nil {
			return false
		}
	}
	return len(c.said) > 0
}

func (a *Answer) say(member string, code core.Code, text string) {
	if !slices.ContainsFunc(a.Reasons, func(b Because) bool { return b.Member == member }) {
		a.Reasons = append(a.Reasons, Because{member, core.Reason{Code: code, Text: text}})
	}
}

// candidate is one member's agent, for as long as the election takes.
type candidate struct {
	memory core.Memory
	view   core.View
	store  bool
	said   []core.Reason
}

func (w *world) candidate(name string, l core.LeaseRecord) *candidate {
	record, p := w.record(name), w.Peers[name]
	v := core.View{Now: w.now, Self: name, Ordinal: record.Ordinal, Store: w.Store, Peers: w.seenBy(name, &l)}
	s := &v.Store
	s.Known, s.Err, s.Lease, s.ReadAt, s.Request = true, "", l, w.now, nil
	s.LeaseSeenAt, s.LeaseFirst = w.now.Add(-time.Hour), false
	s.RenewedTerm, s.VouchedTerm = 0, 0
	c, data := v.Store.Cluster, core.Data{State: core.DataPresent}
	data.ClusterID, data.SystemID = c.ID, c.SystemID
	v.Local = core.Local{ReadAt: w.now, Warden: core.Warden{Alive: true}, Data: data, Instance: settled(p.Instance), Job: p.Job}
	if !w.serves(name) {
		v.Local.Instance = core.Instance{State: core.StateStopped, SystemID: c.SystemID, Timeline: p.Instance.Timeline, Control: "in production"}
		v.Local.Warden.Empty = true
	}
	return &candidate{view: v, store: w.hasStore(name)}
}

// decide is one tick. It gives the lease that this member takes.
func (c *candidate) decide(step time.Duration) (*core.LeaseRecord, core.Reason) {
	plan, memory, report := core.Decide(c.memory, c.view)
	c.memory, c.said = memory, report.Reasons
	for _, s := range plan.Steps {
		switch {
		case s.Kind == core.StepPutLease && s.Lease.Holder == c.view.Self && s.Lease.Term > c.view.Store.Lease.Term && c.store:
			return s.Lease, s.Why
		case s.Kind == core.StepConfigure && c.view.Local.Instance.Standby():
			c.view.Local.ConfKey = s.Conf.Key()
		}
	}
	c.view.Now = c.view.Now.Add(step)
	c.view.Store.ReadAt, c.view.Local.ReadAt = c.view.Now, c.view.Now
	return nil, core.Reason{}
}

// crashed: the holder's PostgreSQL is gone, its agent lives, and decides whether to start it in place or let another lead.
func (w *world) crashed(a *Answer) {
	l := w.Store.Lease
	p := w.Peers[l.Holder]
	c := w.candidate(l.Holder, l)
	v := &c.view
	v.Peers = w.seenBy(l.Holder, nil)
	v.Store.RenewedTerm, v.Store.RenewedAt = l.Term, v.Now
	if !c.store {
		w.withoutStore(a)
		return
	}
	v.Local.Warden = core.Warden{Alive: true, Empty: true, Term: l.Term, Deadline: v.Now.Add(l.TTL.D() - l.Margin.D()), ExitedAt: v.Now.Add(-time.Millisecond), ExitText: "signal: killed"}
	v.Local.Instance = p.Instance
	v.Local.Instance.State, v.Local.Instance.Primary, v.Local.Instance.Control = core.StateStopped, false, "in production"
	plan, _, report := core.Decide(c.memory, c.view)
	for _, s := range plan.Steps {
		switch {
		case s.Kind == core.StepPutLease && s.Lease.Released:
			w.election(a, *s.Lease, 0, time.Second)
			return
		case s.Kind == core.StepStart:
			w.goesOn(a, fmt.Sprintf("%s starts again in place: %s", l.Holder, s.Why.Text))
			a.StopMin, a.StopMax = 0, max(a.StopMax, (w.Store.Spec.CrashRecoveryMax.D()+promotion).Seconds())
			return
		}
	}
	a.Leader, a.Text, a.StopMax, a.Loss = l.Holder, l.Holder+" keeps the lease, and does nothing", -1, "nothing"
	for _, r := range report.Reasons {
		a.Reasons = append(a.Reasons, Because{l.Holder, r})
	}
}
