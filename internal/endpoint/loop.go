package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/route"
	"github.com/pgherd/pgherd/internal/spec"
)

// Config is one host's pair of endpoints.
type Config struct {
	Name    string // of this host's certificate
	Address string // by which clients reach it
	RWPort  int
	ROPort  int
	Member  bool // the host is a member: when it was removed from the cluster, it has no endpoints either

	Source Source
	Dial   Dial
	Open   func(readOnly bool, rules spec.Pooler) (pooler.Pooler, error) // makes a pooler, again when rules change
	Now    func() core.Instant
	Log    *slog.Logger
	Told   func() // what Hold gives is another; it must be quick. May be nil
}

// Loop runs them. It holds what was seen last, and decides anew whenever some of it changes.
type Loop struct {
	c        Config
	rw, ro   *driver
	recorder *recorder
	wake     chan struct{}
	probes   map[string]*probe // of run alone
	memory   route.Memory      // so too

	mu     sync.Mutex
	store  core.StoreView
	known  bool
	readAt core.Instant
	err    string
	newest route.Plan
}

const (
	readMax   = 2 * time.Second
	readEvery = time.Second
	decideMin = time.Millisecond // between two decisions, however often the loop is woken
	// heldRest is between a hint and the reading while clients are held for an operation: it has more to write until they can go on,
	// and each reading takes its time from those who move the primary.
	heldRest = 15 * time.Millisecond
)

// New prepares a pair; nothing runs yet.
func New(c Config) *Loop {
	l := &Loop{c: c, wake: signal(), probes: map[string]*probe{}}
	open := func(readOnly bool) func(spec.Pooler) (pooler.Pooler, error) {
		return func(r spec.Pooler) (pooler.Pooler, error) { return c.Open(readOnly, r) }
	}
	l.rw = newDriver("read-write", open(false), c.Now, l.poke, c.Log)
	l.ro = newDriver("read-only", open(true), c.Now, l.poke, c.Log)
	l.recorder = &recorder{source: c.Source, log: c.Log, changed: signal()}
	return l
}

func (l *Loop) poke() { hint(l.wake) }

// Run works until ctx ends. It leaves the poolers as they are: clients do not notice that whoever ran them
// is gone, and the next Run takes over.
func (l *Loop) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts.Go(func() { l.read(ctx) })
	parts.Go(func() { l.rw.run(ctx) })
	parts.Go(func() { l.ro.run(ctx) })
	parts.Go(func() { l.recorder.run(ctx) })
	for ctx.Err() == nil {
		wakeAt := l.decide(ctx, &parts)
		time.Sleep(decideMin)
		timer := time.NewTimer(min(time.Second, max(0, wakeAt.Sub(l.c.Now()))))
		select {
		case <-l.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// Stop ends both poolers and takes the record back, bounded by ctx. It is called after Run has ended.
func (l *Loop) Stop(ctx context.Context) error {
	err := l.recorder.remove(ctx, l.c.Name)
	var ends sync.WaitGroup
	failed := make([]error, 2)
	for i, d := range []*driver{l.rw, l.ro} {
		ends.Go(func() {
			if d.p == nil { // Run ended before it had looked what is there
				d.adopt(ctx)
			}
			failed[i] = d.end(ctx)
		})
	}
	ends.Wait()
	return errors.Join(err, failed[0], failed[1])
}

// read keeps the newest state of the cluster.
func (l *Loop) read(ctx context.Context) {
	hints := l.c.Source.Watch(ctx)
	for ctx.Err() == nil {
		l.readOnce(ctx)
		timer := time.NewTimer(readEvery)
		select {
		case _, open := <-hints:
			if !open {
				hints = nil
			} else if h := l.Hold(); h != nil && h.State == core.HoldHeld {
				rest(ctx, heldRest)
				drop(hints)
			}
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// drop takes a hint away that the reading to come makes good.
func drop(hints <-chan struct{}) {
	select {
	case <-hints:
	default:
	}
}

func (l *Loop) readOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readMax)
	defer cancel()
	sent := l.c.Now()
	v, err := l.c.Source.State(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.err = err.Error()
		l.poke()
		return
	}
	l.store, l.known, l.readAt, l.err = v, true, sent, ""
	l.recorder.seen(v, l.c.Name)
	l.poke()
}

// decide looks at what is known, decides, and tells the parts.
func (l *Loop) decide(ctx context.Context, parts *sync.WaitGroup) (wakeAt core.Instant) {
	rw, ro := l.rw.known(), l.ro.known()
	if !rw.adopted || !ro.adopted {
		return l.c.Now().Add(time.Second)
	}
	v := l.view(rw, ro)
	if v.Known {
		l.probe(ctx, v.Members, parts)
	}
	for name, p := range l.probes {
		v.Sights[name] = p.seen()
	}
	plan, memory := route.Decide(l.memory, v)
	l.memory = memory
	if v.Known && (v.Rules.Off || l.removed(v)) {
		l.off()
		return l.c.Now().Add(time.Second)
	}
	for name, p := range l.probes {
		p.rush(slices.Contains(plan.Hurry, name))
		p.leave(slices.Contains(plan.Spare, name))
	}
	l.tell(v, plan)
	l.publish(plan, rw, ro)
	if plan.WakeAt == 0 {
		return l.c.Now().Add(time.Second)
	}
	return plan.WakeAt
}

func (l *Loop) view(rw, ro seen) route.View {
	l.mu.Lock()
	defer l.mu.Unlock()
	return route.View{
		Now: l.c.Now(), Known: l.known, Founded: l.store.Cluster.SystemID != "", ReadAt: l.readAt, Err: l.err,
		Rules: l.store.Spec.PoolerRules(), Lease: l.store.Lease, Members: l.store.Members, Operation: l.store.Operation, Drained: l.store.Drained,
		Sights: map[string]route.Sight{}, RW: l.pool(rw), RO: l.pool(ro),
	}
}

// pool gives names to targets. The caller has the lock.
func (l *Loop) pool(s seen) route.Pool {
	p := s.pool
	p.Down = s.down
	for _, t := range s.targets {
		for _, m := range l.store.Members {
			if target(m) == t {
				p.Targets = append(p.Targets, m.Name)
			}
		}
	}
	return p
}

func target(m core.MemberRecord) pooler.Target { return pooler.Target{Host: m.Address, Port: m.PGPort} }

// probe has one probe for each member that holds data, where its record says that it is.
func (l *Loop) probe(ctx context.Context, members []core.MemberRecord, parts *sync.WaitGroup) {
	wanted := map[string]core.MemberRecord{}
	for _, m := range members {
		if !m.Witness {
			wanted[m.Name] = m
		}
	}
	for name, p := range l.probes {
		if m, ok := wanted[name]; !ok || target(m) != target(p.member) {
			p.stop()
			delete(l.probes, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if l.probes[name] == nil {
			p := &probe{member: wanted[name], dial: l.c.Dial, now: l.c.Now, poke: l.poke}
			p.begin(ctx, parts)
			l.probes[name] = p
		}
	}
}

func (l *Loop) tell(v route.View, plan route.Plan) {
	for _, one := range []struct {
		d *driver
		e route.Endpoint
	}{{l.rw, plan.RW}, {l.ro, plan.RO}} {
		if one.e.Keep {
			continue
		}
		w := want{known: true, rules: v.Rules, hold: one.e.Hold, atOnce: one.e.AtOnce, drop: one.e.Drop, terminate: one.d == l.rw && plan.Terminate}
		for _, m := range v.Members {
			if slices.Contains(one.e.Targets, m.Name) {
				w.targets = append(w.targets, target(m))
			}
		}
		if one.e.LetGo {
			w.targets = one.d.known().targets
		}
		one.d.set(w)
	}
}

func (l *Loop) removed(v route.View) bool {
	return l.c.Member && !slices.ContainsFunc(v.Members, func(m core.MemberRecord) bool { return m.Name == l.c.Name })
}

// off has no endpoints here.
func (l *Loop) off() {
	l.rw.set(want{known: true, off: true})
	l.ro.set(want{known: true, off: true})
	l.mu.Lock()
	l.newest = route.Plan{}
	l.mu.Unlock()
	l.recorder.withdraw(l.c.Name)
}
