package agent

import (
	"testing"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/trust"
	"github.com/pgherd/pgherd/internal/warden"
)

// decided is a decision of a member that leads and is open, changed by f.
func decided(f func(*journal.Entry)) journal.Entry {
	e := journal.Entry{View: core.View{Self: "n1"}, Report: core.Report{Role: "primary", Term: 7}}
	e.View.Local.Instance = core.Instance{State: core.StateRunning, Primary: true}
	e.View.Store = core.StoreView{Known: true, Lease: core.LeaseRecord{Holder: "n1", Term: 7}}
	if f != nil {
		f(&e)
	}
	return e
}

func TestStanding(t *testing.T) {
	const now = core.Instant(1_000_000)
	leads := warden.Status{Alive: true, PostmasterPID: 9, Permit: trust.Permit{Armed: true, Deadline: now + 1, Term: 7}}
	with := func(f func(*warden.Status)) warden.Status { s := leads; f(&s); return s }
	standby := decided(func(e *journal.Entry) { e.Report.Role, e.View.Local.Instance.Primary = "standby", false })
	for name, c := range map[string]struct {
		entry journal.Entry
		w     warden.Status
		want  standing
	}{
		"leads and is open":                         {decided(nil), leads, standsPrimary},
		"the deadline has passed, the warden is at": {decided(nil), with(func(s *warden.Status) { s.Deadline = now }), standsFenced},
		"the warden is away for a moment":           {decided(nil), warden.Status{}, standsUnknown},
		"a new agent, before its first decision":    {journal.Entry{}, leads, standsUnknown},
		"clients are held after a crash":            {decided(func(e *journal.Entry) { e.View.Local.Held = true }), leads, standsUnknown},
		"still in recovery":                         {decided(func(e *journal.Entry) { e.View.Local.Instance.Primary = false }), leads, standsUnknown},
		"the lease is handed over":                  {decided(func(e *journal.Entry) { e.View.Store.Lease.Holder = "n2" }), leads, standsUnknown},
		"a standby":                                 {standby, with(func(s *warden.Status) { s.Deadline = 0 }), standsStandby},
		"a standby that starts": {decided(func(e *journal.Entry) { e.View.Local.Instance = core.Instance{State: core.StateStarting} }),
			with(func(s *warden.Status) { s.Deadline = 0 }), standsUnknown},
		"an old decision, and fenced since": {decided(nil), warden.Status{Alive: true, Empty: true, Fenced: &warden.Fenced{}}, standsFenced},
		"stopped":                           {standby, warden.Status{Alive: true, Empty: true}, standsStopped},
		"being started, or killed":          {decided(nil), with(func(s *warden.Status) { s.PostmasterPID = 0 }), standsUnknown},
	} {
		if got := standingOf(c.entry, c.w, now); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
