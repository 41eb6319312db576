package invariant

import (
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

// An invariant that cannot be broken guards nothing: each is broken here once.

func has(found []Violation, id string) bool {
	for _, v := range found {
		if v.ID == id {
			return true
		}
	}
	return false
}

func leader() core.View {
	v := core.View{Now: 1000, Self: "n1"}
	v.Store = core.StoreView{Known: true, LeaseRevision: 9, RenewedTerm: 3, RenewedAt: 900,
		Lease: core.LeaseRecord{Holder: "n1", Term: 3, TTL: 500, Margin: 100, Sync: core.SyncSet{Members: []string{"n2"}, K: 1}}}
	v.Store.Spec.Durability = spec.DurabilitySync
	v.Local.Instance = core.Instance{State: core.StateRunning, Primary: true}
	v.Local.Warden = core.Warden{Alive: true, Term: 3, Deadline: 1300}
	return v
}

func said() core.Report {
	return core.Report{Reasons: []core.Reason{{Code: "x", Text: "y"}}}
}

func TestTick(t *testing.T) {
	step := func(s core.Step) func(*Decision) { return func(d *Decision) { d.Plan.Steps = append(d.Plan.Steps, s) } }
	guard := core.Guard{Term: 3, Deadline: 1200}
	for name, c := range map[string]struct {
		break_ func(*Decision)
		want   string // empty: nothing is broken
	}{
		"a healthy primary does nothing":           {func(*Decision) {}, ""},
		"a deadline beyond the trust":              {func(d *Decision) { d.View.Local.Warden.Deadline = 1301 }, "I3"},
		"… that an earlier, longer ttl had earned": {func(d *Decision) { d.View.Local.Warden.Deadline = 1301; b := d.View; d.Before = &b }, ""},
		"the term goes back":                       {func(d *Decision) { b := d.View; b.Store.Lease.Term = 4; d.Before = &b }, "I4"},
		"the lease's revision goes back":           {func(d *Decision) { b := d.View; b.Store.LeaseRevision = 10; d.Before = &b }, "I4"},
		"a lease of a lower term is written":       {step(core.Step{Kind: core.StepPutLease, Lease: &core.LeaseRecord{Holder: "n1", Term: 2}}), "I4"},
		"another holder in the same term":          {step(core.Step{Kind: core.StepPutLease, Lease: &core.LeaseRecord{Holder: "n2", Term: 3}}), "I4"},
		"PostgreSQL is to wait for nobody":         {step(core.Step{Kind: core.StepConfigure, Conf: &core.Conf{}}), "I5"},
		"PostgreSQL is to wait for a stranger":     {step(core.Step{Kind: core.StepConfigure, Conf: &core.Conf{Sync: core.SyncSet{Members: []string{"n2", "n3"}, K: 1}}}), "I5"},
		"PostgreSQL waits as promised":             {step(core.Step{Kind: core.StepConfigure, Conf: &core.Conf{Sync: core.SyncSet{Members: []string{"n2"}, K: 1}}}), ""},
		"a promotion without a guard":              {step(core.Step{Kind: core.StepPromote}), "I6"},
		"a promotion guarded by an older term":     {step(core.Step{Kind: core.StepPromote, Guard: core.Guard{Term: 2, Deadline: 1200}}), "I6"},
		"a promotion whose deadline is past":       {step(core.Step{Kind: core.StepPromote, Guard: core.Guard{Term: 3, Deadline: 1000}}), "I6"},
		"a guarded promotion":                      {step(core.Step{Kind: core.StepPromote, Guard: guard}), ""},
		"a promotion without the watchdog that is required": {func(d *Decision) {
			d.View.Local.Warden.Watchdog = core.Watchdog{Required: true, State: core.WatchdogReady}
			step(core.Step{Kind: core.StepPromote, Guard: guard})(d)
		}, "I6"},
		"… that counts": {func(d *Decision) {
			d.View.Local.Warden.Watchdog = core.Watchdog{Required: true, State: core.WatchdogActive}
			step(core.Step{Kind: core.StepPromote, Guard: guard})(d)
		}, ""},
		"a start as primary under somebody else's lease": {func(d *Decision) {
			d.View.Store.Lease.Holder = "n2"
			step(core.Step{Kind: core.StepStart, Guard: guard})(d)
		}, "I6"},
		"two disruptive steps":                             {func(d *Decision) { step(core.Step{Kind: core.StepStop})(d); step(core.Step{Kind: core.StepClone})(d) }, "I9"},
		"a stop while paused":                              {func(d *Decision) { d.View.Store.Paused = true; step(core.Step{Kind: core.StepStop})(d) }, "I9"},
		"a fence while paused":                             {func(d *Decision) { d.View.Store.Paused = true; step(core.Step{Kind: core.StepFence})(d) }, ""},
		"a stopped primary, nothing done and nothing said": {func(d *Decision) { d.View.Local.Instance = core.Instance{State: core.StateStopped} }, "I12"},
		"… and something said":                             {func(d *Decision) { d.View.Local.Instance = core.Instance{State: core.StateStopped}; d.Report = said() }, ""},
	} {
		d := Decision{View: leader()}
		c.break_(&d)
		found := Tick(&d)
		if c.want == "" && len(found) > 0 || c.want != "" && !has(found, c.want) {
			t.Errorf("%s: %v, want %q", name, found, c.want)
		}
	}
}

func TestSameAndForgetting(t *testing.T) {
	v := core.View{Self: "n1", Store: core.StoreView{Known: true}}
	d := Decision{View: v}
	d.Plan, _, d.Report = core.Decide(d.Memory, v)
	if found := append(Same(d), Forgetting(d)...); len(found) > 0 {
		t.Errorf("%v", found)
	}
	d.Plan.Steps = append(d.Plan.Steps, core.Step{Kind: core.StepFence})
	if !has(Same(d), "I10") {
		t.Error("another plan from the same view passed")
	}
}

func TestTwoPrimaries(t *testing.T) {
	v := leader()
	peer := core.Peer{Name: "n2", Known: true, Instance: core.Instance{State: core.StateRunning, Primary: true}}
	v.Peers = []core.Peer{peer}
	if !has(TwoPrimaries(v), "I1") {
		t.Error("two members accept writes and nobody says so")
	}
	v.Peers[0].Age = 4 * time.Second
	if found := TwoPrimaries(v); len(found) > 0 {
		t.Errorf("an old answer counts: %v", found)
	}
}

func all(int) bool  { return true }
func none(int) bool { return false }

func TestHistory(t *testing.T) {
	for name, c := range map[string]struct {
		play func(*History)
		want string
	}{
		"one reign after the other": {func(h *History) {
			h.Opened(0, 1, false, all)
			h.Acknowledge(0, 1, 10, 11)
			h.Opened(1, 2, false, all)
			h.Acknowledge(1, 2, 20, 21)
		}, ""},
		"the old primary acknowledges what began after the new one had acknowledged": {func(h *History) {
			h.Opened(0, 1, false, all)
			h.Opened(1, 2, false, all)
			h.Acknowledge(1, 2, 20, 21)
			h.Acknowledge(0, 3, 22, 23)
		}, "I1"},
		"… what it had begun before": {func(h *History) {
			h.Opened(0, 1, false, all)
			h.Opened(1, 2, false, all)
			h.Acknowledge(1, 2, 20, 21)
			h.Acknowledge(0, 3, 19, 23)
		}, ""},
		"… which the new primary has not": {func(h *History) {
			h.Has = func(member, _ int) bool { return member == 0 }
			h.Opened(0, 1, false, all)
			h.Opened(1, 2, false, all)
			h.Acknowledge(0, 3, 19, 23)
		}, "I2"},
		"… whose data were destroyed since": {func(h *History) {
			h.Has = func(member, _ int) bool { return member == 0 }
			h.Opened(0, 1, false, all)
			h.Opened(1, 2, false, all)
			h.Destroyed(1)
			h.Acknowledge(0, 3, 19, 23)
		}, ""},
		"… and whoever opens then has it not": {func(h *History) {
			h.Has = func(member, _ int) bool { return member == 0 }
			h.Opened(0, 1, false, all)
			h.Opened(1, 2, false, all)
			h.Destroyed(1)
			h.Acknowledge(0, 3, 19, 23)
			h.Opened(2, 3, false, none)
		}, "I2"},
		"the leader of the end lacks a commit": {func(h *History) {
			h.Has = func(member, _ int) bool { return member == 0 }
			h.Opened(0, 1, false, all)
			h.Acknowledge(0, 3, 19, 23)
			h.Final(1)
		}, "I2"},
		"who never opened acknowledges": {func(h *History) { h.Acknowledge(0, 1, 1, 2) }, "I1"},
		"an acknowledged commit is lost": {func(h *History) {
			h.Opened(0, 1, false, all)
			h.Acknowledge(0, 1, 10, 11)
			h.Opened(1, 2, false, none)
		}, "I2"},
		"a commit that was read is lost": {func(h *History) {
			h.Opened(0, 1, false, all)
			h.Saw(0, 1)
			h.Opened(1, 2, false, none)
		}, "I2"},
		"a commit is read that the next leader had not": {func(h *History) {
			h.Has = func(member, _ int) bool { return member == 0 }
			h.Opened(0, 1, false, all)
			h.Opened(1, 2, false, none)
			h.Saw(0, 1)
		}, "I2"},
		"two promotions in one term":                {func(h *History) { h.Opened(0, 1, false, all); h.Opened(1, 1, false, all) }, "I4"},
		"a term after a higher one":                 {func(h *History) { h.Opened(0, 2, false, all); h.Opened(1, 1, false, all) }, "I4"},
		"a lease is taken from who can still write": {func(h *History) { h.Fenced(0, 2, true) }, "I3"},
		"async beyond max_lag":                      {func(h *History) { h.Lagging(0, 101, 100) }, "I7"},
		"async at max_lag":                          {func(h *History) { h.Lagging(0, 100, 100) }, ""},
		"the only copy is dropped": {func(h *History) {
			h.Opened(0, 1, false, all)
			h.Acknowledge(0, 1, 10, 11)
			h.Dropped(0, all, none)
		}, "I8"},
		"data is replaced unsaved":               {func(h *History) { h.Replaced(0, 1, false) }, "I8"},
		"data is replaced when it was saved":     {func(h *History) { h.Replaced(0, 1, true) }, ""},
		"set aside, and dropped at once":         {func(h *History) { h.Pruned(0, "aside-1", false) }, "I8"},
		"dropped when the new data has streamed": {func(h *History) { h.Pruned(0, "aside-1", true) }, ""},
		"a loss that nobody said":                {func(h *History) { h.Unsaid(0, 2, 3, false) }, "I7"},
		"a loss that the lease says":             {func(h *History) { h.Unsaid(0, 2, 3, true) }, ""},
		"nothing lost, nothing said":             {func(h *History) { h.Unsaid(0, 2, 0, false) }, ""},
		"two histories are mixed":                {func(h *History) { h.Forked(0, 1) }, "I8"},
		"the database is made twice":             {func(h *History) { h.Initialised(2) }, "I8"},
		"the lease promises too much": {func(h *History) {
			h.Opened(0, 1, false, all)
			h.Acknowledge(0, 1, 10, 11)
			h.Promised(none)
		}, "I5"},
		"a commit is kept in one failure domain only": {func(h *History) { h.Elsewhere(0, 1, false) }, "I13"},
		"a commit is kept in two":                     {func(h *History) { h.Elsewhere(0, 1, true) }, ""},
		"nobody leads":                                {func(h *History) { h.Live(2, 0, 1, 1, "") }, "I11"},
		"never whole":                                 {func(h *History) { h.Live(0, 2, 1, 1, "") }, "I11"},
		"never at rest":                               {func(h *History) { h.Live(0, 0, 1, 1, "n1: configure") }, "I11"},
		"whole and at rest":                           {func(h *History) { h.Live(1, 1, 1, 1, "") }, ""},
	} {
		h := &History{Sync: true}
		c.play(h)
		if c.want == "" && len(h.Found()) > 0 || c.want != "" && !has(h.Found(), c.want) {
			t.Errorf("%s: %v, want %q", name, h.Found(), c.want)
		}
	}
}

// Async may lose: it is counted once, and then forgotten.
func TestLossInAsyncIsCountedOnce(t *testing.T) {
	h := &History{}
	h.Opened(0, 1, false, all)
	h.Acknowledge(0, 1, 10, 11)
	if lost := h.Opened(1, 2, false, none); lost != 1 || len(h.Found()) > 0 {
		t.Errorf("lost %d, found %v", lost, h.Found())
	}
	h.Forget(all)
	if lost := h.Opened(0, 3, false, none); lost != 0 {
		t.Errorf("counted again: %d", lost)
	}
}
