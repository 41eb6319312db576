package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgherd/pgherd/internal/core"
)

// Meters take observations from the agent's parts. All are made beforehand, so that taking one is a few atomic
// additions: no lock, no memory. A nil *Meters takes nothing.
type Meters struct {
	decision, tick prometheus.Histogram
	store          [operations]prometheus.Observer
	storeErrors    [operations]prometheus.Counter
	step           map[core.StepKind]prometheus.Observer // not changed after New
	stepErrors     map[core.StepKind]prometheus.Counter
	handover       map[string]prometheus.Observer
	failover       map[string]prometheus.Observer
	losses         prometheus.Counter
	lossBytes      prometheus.Counter

	seen seen // of the loop alone
}

// Phases of a handover are those of its certificate: stop and promote once each, drain and hold once for each pooler.
// Phases of a failover are what the new primary saw of it; all is their sum.
const (
	PhaseStop    = "stop"    // from the order to stop until the lease was handed over
	PhasePromote = "promote" // from when the new primary saw the lease until it accepted writes
	PhaseDrain   = "drain"   // from PAUSE until no transaction was open
	PhaseHold    = "hold"    // from PAUSE to RESUME: what clients wait

	PhaseNotice = "notice" // from the last sign of the former holder until the lease was judged free
	PhaseElect  = "elect"  // until the lease was this member's
	PhaseOpen   = "open"   // until PostgreSQL here accepted writes
	PhaseAll    = "all"
)

var (
	handoverPhases = []string{PhaseStop, PhasePromote, PhaseDrain, PhaseHold}
	failoverPhases = []string{PhaseNotice, PhaseElect, PhaseOpen, PhaseAll}

	// Deciding takes microseconds; a tick waits for its sources, a write of the store for a disk.
	decisionBuckets = []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 25e-3, 100e-3}
	waitBuckets     = []float64{1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5}
	outageBuckets   = []float64{25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2, 3, 5, 7.5, 10, 15, 30, 60, 300}
)

var steps = []core.StepKind{
	core.StepPutLease, core.StepVouch, core.StepPutCluster, core.StepPutOperation, core.StepPutRequest, core.StepEndRequest,
	core.StepFence, core.StepDisarm, core.StepStart, core.StepStop, core.StepPromote, core.StepConfigure, core.StepMarkGood,
	core.StepCreateSlot, core.StepDropSlot, core.StepRoles, core.StepInit, core.StepClone, core.StepRewind, core.StepCheckpoint, core.StepDropFork,
}

// measured are the meters as the catalogue lists them.
var measured = []Family{
	{"pgherd_decision_seconds", histogram, nil, "seconds", "What deciding took in each tick: core.Decide, without looking and acting."},
	{"pgherd_tick_seconds", histogram, nil, "seconds", "What each tick took: looking, deciding, acting."},
	{"pgherd_store_request_seconds", histogram, []string{"operation"}, "seconds", "What each call of the store took: snapshot, put or delete. Those that failed are in it."},
	{"pgherd_store_request_errors_total", counter, []string{"operation"}, "calls", "Calls that the store did not answer in time. A refused compare-and-swap is an answer."},
	{"pgherd_step_seconds", histogram, []string{"step"}, "seconds", "What each step of a plan took to be carried out; of clone, rewind, init and checkpoint to be begun."},
	{"pgherd_step_errors_total", counter, []string{"step"}, "steps", "Steps that failed."},
	{"pgherd_handover_phase_seconds", histogram, []string{"phase"}, "seconds", "Phases of switchovers to this member, from their certificates: stop, promote; for each pooler drain and hold."},
	{"pgherd_failover_seconds", histogram, []string{"phase"}, "seconds", "Failovers to this member: notice (since the last sign of the former holder), elect, open, and all of it. Switchovers are not among them."},
	{"pgherd_losses_total", counter, nil, "takeovers", "Takeovers by this member, since its agent began, that may have lost acknowledged commits."},
	{"pgherd_loss_bytes_total", counter, nil, "bytes", "WAL that the former primaries had published and this member did not have then."},
}

func describe(name string) Family {
	for _, f := range measured {
		if f.Name == name {
			return f
		}
	}
	panic("metrics: " + name + " is not in the catalogue")
}

// maker registers meters under their descriptions.
type maker struct {
	to  prometheus.Registerer
	own prometheus.Labels
}

func (m maker) histograms(name string, buckets []float64) *prometheus.HistogramVec {
	f := describe(name)
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: f.Help, ConstLabels: m.own, Buckets: buckets}, f.Labels)
	m.to.MustRegister(v)
	return v
}

func (m maker) counters(name string) *prometheus.CounterVec {
	f := describe(name)
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: f.Help, ConstLabels: m.own}, f.Labels)
	m.to.MustRegister(v)
	return v
}

func newMeters(m maker) *Meters {
	one := func(name string, buckets []float64) prometheus.Histogram {
		return m.histograms(name, buckets).WithLabelValues().(prometheus.Histogram)
	}
	t := &Meters{
		decision: one("pgherd_decision_seconds", decisionBuckets), tick: one("pgherd_tick_seconds", waitBuckets),
		step: map[core.StepKind]prometheus.Observer{}, stepErrors: map[core.StepKind]prometheus.Counter{},
		handover: map[string]prometheus.Observer{}, failover: map[string]prometheus.Observer{},
		losses: m.counters("pgherd_losses_total").WithLabelValues(), lossBytes: m.counters("pgherd_loss_bytes_total").WithLabelValues(),
	}
	took, failed := m.histograms("pgherd_store_request_seconds", waitBuckets), m.counters("pgherd_store_request_errors_total")
	for o := range operations {
		t.store[o], t.storeErrors[o] = took.WithLabelValues(o.String()), failed.WithLabelValues(o.String())
	}
	stepTook, stepFailed := m.histograms("pgherd_step_seconds", waitBuckets), m.counters("pgherd_step_errors_total")
	for _, kind := range steps {
		t.step[kind], t.stepErrors[kind] = stepTook.WithLabelValues(string(kind)), stepFailed.WithLabelValues(string(kind))
	}
	handover, failover := m.histograms("pgherd_handover_phase_seconds", outageBuckets), m.histograms("pgherd_failover_seconds", outageBuckets)
	for _, p := range handoverPhases {
		t.handover[p] = handover.WithLabelValues(p)
	}
	for _, p := range failoverPhases {
		t.failover[p] = failover.WithLabelValues(p)
	}
	return t
}

// Decided takes what one decision took.
func (t *Meters) Decided(took time.Duration) {
	if t != nil {
		t.decision.Observe(took.Seconds())
	}
}

// Ticked takes what one tick took.
func (t *Meters) Ticked(took time.Duration) {
	if t != nil {
		t.tick.Observe(took.Seconds())
	}
}

// Stepped takes what one step took, and whether it failed. A kind that is not known is left out.
func (t *Meters) Stepped(kind core.StepKind, took time.Duration, err error) {
	if t == nil || t.step[kind] == nil {
		return
	}
	t.step[kind].Observe(took.Seconds())
	if err != nil {
		t.stepErrors[kind].Inc()
	}
}
