package metrics

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/mem"
	"github.com/pgherd/pgherd/internal/store/storetest"
	"github.com/pgherd/pgherd/internal/wal"
)

func newMetrics(t *testing.T) *Metrics {
	t.Helper()
	return New("main", "n1", func() snapshot.Snapshot { return primary() }, slog.New(slog.DiscardHandler))
}

// metered is one series: how many observations (of a counter: its value) and their sum.
func (m *Metrics) metered(t *testing.T, name, label string) (count, sum float64) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			if f.GetName() == name && (label == "" || carries(one, label)) {
				return one.GetCounter().GetValue() + float64(one.GetHistogram().GetSampleCount()), one.GetHistogram().GetSampleSum()
			}
		}
	}
	t.Fatalf("there is no %s %s", name, label)
	return 0, 0
}

func carries(m *dto.Metric, value string) bool {
	for _, l := range m.GetLabel() {
		if l.GetValue() == value && l.GetName() != "cluster" && l.GetName() != "member" {
			return true
		}
	}
	return false
}

func TestMeters(t *testing.T) {
	m := newMetrics(t)
	m.Decided(20 * time.Microsecond)
	m.Ticked(40 * time.Millisecond)
	m.Stepped(core.StepPutLease, 4*time.Millisecond, nil)
	m.Stepped(core.StepPutLease, 900*time.Millisecond, errors.New("no answer"))
	m.Stepped("of a newer version", time.Second, nil)
	for _, want := range []struct {
		name, label string
		count, sum  float64
	}{
		{"pgherd_decision_seconds", "", 1, 20e-6}, {"pgherd_tick_seconds", "", 1, 0.04},
		{"pgherd_step_seconds", "put_lease", 2, 0.904}, {"pgherd_step_errors_total", "put_lease", 1, 0}, {"pgherd_step_seconds", "promote", 0, 0},
	} {
		if count, sum := m.metered(t, want.name, want.label); count != want.count || math.Abs(sum-want.sum) > 1e-9 {
			t.Errorf("%s %s: %v, %v", want.name, want.label, count, sum)
		}
	}
	var none *Meters
	none.Decided(0)
	none.Ticked(0)
	none.Stepped(core.StepStart, 0, nil)
	none.See(&core.Memory{}, &core.View{})
	if s := mem.New(); none.Measured(s) != store.Store(s) {
		t.Error("without meters the store is another")
	}
}

// TestObservingCostsNoMemory: the loop takes these in each tick.
func TestObservingCostsNoMemory(t *testing.T) {
	m, memory, view := newMetrics(t), core.Memory{}, primary().View
	if n := testing.AllocsPerRun(100, func() {
		m.Decided(time.Millisecond)
		m.Ticked(time.Millisecond)
		m.Stepped(core.StepPutLease, time.Millisecond, nil)
		m.requested(opPut, time.Now(), nil)
		m.See(&memory, &view)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type factory struct{ meters *Metrics }

func (f factory) Open(*testing.T) store.Store { return f.meters.Measured(mem.New()) }
func (f factory) Another(_ *testing.T, s store.Store) store.Store {
	return f.meters.Measured(s.(*timed).Store.(*mem.Store).Handle())
}

func TestMeasuredStoreConforms(t *testing.T) {
	m := newMetrics(t)
	storetest.Run(t, factory{m})
	for _, op := range []string{"snapshot", "put", "delete"} {
		if count, _ := m.metered(t, "pgherd_store_request_seconds", op); count == 0 {
			t.Errorf("no %s was measured", op)
		}
	}
}

func TestStoreErrorsAreCounted(t *testing.T) {
	m := newMetrics(t)
	s := m.Measured(mem.New())
	ended, end := context.WithCancel(context.Background())
	end()
	_, _ = s.Snapshot(ended)
	if _, err := s.Put(context.Background(), "key", []byte("1"), 99); !errors.Is(err, store.ErrConflict) {
		t.Fatal(err)
	}
	for op, want := range map[string]float64{"snapshot": 1, "put": 0} {
		if count, _ := m.metered(t, "pgherd_store_request_errors_total", op); count != want {
			t.Errorf("%s: %v errors", op, count)
		}
	}
}

// ticks shows what the loop would see, one view after the other.
type ticks struct {
	m      *Metrics
	memory core.Memory
	view   core.View
}

func newTicks(t *testing.T) *ticks {
	return &ticks{m: newMetrics(t), view: core.View{Self: "n1", Now: now, Store: core.StoreView{Known: true,
		LeaseSeenAt: now.Add(-time.Second), Lease: core.LeaseRecord{Holder: "n2", Term: 4}}}}
}

func (k *ticks) tick(later time.Duration, change func(*core.Memory, *core.View)) {
	k.view.Now = k.view.Now.Add(later)
	change(&k.memory, &k.view)
	k.m.See(&k.memory, &k.view)
}

func (k *ticks) takes(_ *core.Memory, v *core.View) {
	v.Store.Lease.Holder, v.Store.Lease.Term = "n1", v.Store.Lease.Term+1
	v.Store.LeaseSeenAt = v.Now
}
func (k *ticks) opens(m *core.Memory, v *core.View) {
	v.Local.Instance.Primary, m.VacantSince = true, 0
}
func same(*core.Memory, *core.View) {}

// TestFailoverIsMeasured: n2 falls silent a second before the first look, the lease is free 4 s later, ours after
// 100 ms and open after 300 ms more.
func TestFailoverIsMeasured(t *testing.T) {
	k := newTicks(t)
	k.tick(0, same)
	k.tick(4*time.Second, func(m *core.Memory, v *core.View) { m.VacantSince, m.VacantTerm = v.Now, 4 })
	k.tick(100*time.Millisecond, k.takes)
	k.tick(300*time.Millisecond, k.opens)
	k.tick(time.Second, same)
	for phase, want := range map[string]float64{PhaseNotice: 5, PhaseElect: 0.1, PhaseOpen: 0.3, PhaseAll: 5.4} {
		if count, sum := k.m.metered(t, "pgherd_failover_seconds", phase); count != 1 || math.Abs(sum-want) > 1e-9 {
			t.Errorf("%s: %v, %v", phase, count, sum)
		}
	}
}

// TestWhatIsNoFailover: a lease that was handed over, one that was lost again, and one that was ours already.
func TestWhatIsNoFailover(t *testing.T) {
	vacant := func(m *core.Memory, v *core.View) { m.VacantSince, m.VacantTerm = v.Now, v.Store.Lease.Term }
	for what, run := range map[string]func(k *ticks){
		"handed over":   func(k *ticks) { k.tick(0, same); k.tick(time.Second, k.takes); k.tick(time.Second, k.opens) },
		"when it began": func(k *ticks) { k.tick(0, k.takes); k.tick(time.Second, k.opens) },
		"held for clients": func(k *ticks) {
			k.tick(0, same)
			k.tick(time.Second, vacant)
			k.tick(time.Second, k.takes)
			k.tick(time.Second, func(m *core.Memory, v *core.View) { k.opens(m, v); v.Local.Held = true })
		},
		"lost again": func(k *ticks) {
			k.tick(0, same)
			k.tick(time.Second, vacant)
			k.tick(time.Second, k.takes)
			k.tick(time.Second, func(_ *core.Memory, v *core.View) { v.Store.Lease.Holder, v.Store.Lease.Term = "n3", 6 })
			k.tick(time.Second, k.opens)
		},
		"a vacancy of long ago": func(k *ticks) {
			k.tick(0, same)
			k.memory.VacantSince, k.memory.VacantTerm = now.Add(-time.Minute), 2
			k.tick(time.Second, k.takes)
			k.tick(time.Second, k.opens)
		},
	} {
		k := newTicks(t)
		run(k)
		if count, _ := k.m.metered(t, "pgherd_failover_seconds", PhaseAll); count != 0 {
			t.Errorf("%s: it was measured", what)
		}
	}
}

func TestLossesAreCountedOnce(t *testing.T) {
	k := newTicks(t)
	old := core.Loss{Member: "n3", Term: 2, From: wal.Position{LSN: 100}, To: 150}
	k.tick(0, func(_ *core.Memory, v *core.View) { v.Store.Lease.Lost = []core.Loss{old} })
	k.tick(time.Second, func(_ *core.Memory, v *core.View) { // of another's takeover
		v.Store.Lease.Lost = []core.Loss{old, {Member: "n1", Term: 3, To: 9}}
	})
	k.tick(time.Second, func(m *core.Memory, v *core.View) {
		k.takes(m, v)
		v.Store.Lease.Lost = append(v.Store.Lease.Lost, core.Loss{Member: "n2", Term: 4, From: wal.Position{LSN: 1000}, To: 1700})
	})
	k.tick(time.Second, same)
	k.tick(time.Second, func(_ *core.Memory, v *core.View) { v.Store.Lease.Lost = nil })
	if n, _ := k.m.metered(t, "pgherd_losses_total", ""); n != 1 {
		t.Errorf("%v losses", n)
	}
	if n, _ := k.m.metered(t, "pgherd_loss_bytes_total", ""); n != 700 {
		t.Errorf("%v bytes", n)
	}
}

func TestHandoverIsMeasuredOnce(t *testing.T) {
	k := newTicks(t)
	certificate := core.Certificate{StopMS: 120, PromoteMS: 80, Whole: true, Poolers: []core.PoolerPart{
		{Name: "n1", PoolerHold: core.PoolerHold{HeldMS: 400, DrainMS: 10}}, {Name: "n2", PoolerHold: core.PoolerHold{HeldMS: 600, DrainMS: 30}}, {Name: "n3"}}}
	op := &core.Operation{ID: "old", To: "n1", Certificate: certificate}
	k.tick(0, func(_ *core.Memory, v *core.View) { v.Store.Operation = op })
	k.tick(time.Second, same)
	k.tick(time.Second, func(_ *core.Memory, v *core.View) { v.Store.Operation = &core.Operation{ID: "new", To: "n1"} })
	k.tick(time.Second, func(_ *core.Memory, v *core.View) {
		v.Store.Operation = &core.Operation{ID: "new", To: "n1", Certificate: certificate}
	})
	k.tick(time.Second, same)
	k.tick(time.Second, func(_ *core.Memory, v *core.View) {
		v.Store.Operation = &core.Operation{ID: "to another", To: "n3", Certificate: certificate}
	})
	for phase, want := range map[string][2]float64{PhaseStop: {1, 0.12}, PhasePromote: {1, 0.08}, PhaseDrain: {2, 0.04}, PhaseHold: {2, 1}} {
		if count, sum := k.m.metered(t, "pgherd_handover_phase_seconds", phase); count != want[0] || math.Abs(sum-want[1]) > 1e-9 {
			t.Errorf("%s: %v, %v", phase, count, sum)
		}
	}
}
