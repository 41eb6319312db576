package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/spec"
)

const (
	doMax      = 3 * time.Second        // for one thing that is asked of a pooler
	retryEvery = 200 * time.Millisecond // after one that failed
	settleMax  = 2 * time.Second        // of an endpoint that is to end: for what is open there
	findEvery  = 15 * time.Second       // for a program that is not there

	// refreshEvery: a node's certificate is renewed long before its end, in place.
	refreshEvery = time.Hour
)

// want is what one pooler is to be. The zero value asks for nothing: what runs is left as it is.
type want struct {
	known     bool
	off       bool // it is to run no more
	rules     spec.Pooler
	targets   []pooler.Target
	hold      bool
	atOnce    bool // the hold, should one begin now
	terminate bool // so that it drains
	drop      bool // who is linked to servers elsewhere; it stays wanted until it was done
}

func (w want) equal(o want) bool {
	return w.known == o.known && w.off == o.off && w.rules == o.rules && slices.Equal(w.targets, o.targets) && w.hold == o.hold && w.terminate == o.terminate && w.drop == o.drop
}

// driver has one pooler do what is wanted. Only its own goroutine, and those that it starts, wait for
// the pooler.
type driver struct {
	name string // for people: "read-write", "read-only"
	open func(spec.Pooler) (pooler.Pooler, error)
	now  func() core.Instant
	poke func() // something changed that decisions depend on
	log  *slog.Logger

	changed chan struct{} // something else is wanted
	hurry   chan struct{} // clients are held: watch is to look soon, and often
	mu      sync.Mutex
	want    want
	seen    seen

	// Of run alone.
	p       pooler.Pooler
	rules   spec.Pooler // that p was made with
	targets []pooler.Target
	refresh bool               // it may have to read its files again
	up      bool               // it ran when it was asked for last
	unpause context.CancelFunc // ends the pause that is under way or in effect; nil: none is
}

func newDriver(name string, open func(spec.Pooler) (pooler.Pooler, error), now func() core.Instant, poke func(), log *slog.Logger) *driver {
	return &driver{name: name, open: open, now: now, poke: poke, log: log.With("endpoint", name), changed: signal(), hurry: signal()}
}

// signal is a channel on which many hints make one.
func signal() chan struct{} { return make(chan struct{}, 1) }

func hint(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// set says what is wanted from now on.
func (d *driver) set(w want) {
	d.mu.Lock()
	w.drop = w.drop || d.want.drop && slices.Equal(w.targets, d.want.targets)
	same := w.equal(d.want)
	d.want = w
	d.mu.Unlock()
	if !same {
		hint(d.changed)
	}
}

// run works until ctx ends; the pooler runs on.
func (d *driver) run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	d.adopt(ctx)
	parts.Go(func() { d.watch(ctx) })
	for ctx.Err() == nil {
		wait := refreshEvery
		if err := d.step(ctx); err != nil && ctx.Err() == nil {
			if wait = retryEvery; errors.Is(err, pooler.ErrMissing) || errors.Is(err, pooler.ErrTooOld) {
				wait = findEvery
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-d.changed:
		case <-timer.C:
			d.refresh = true
		case <-ctx.Done():
		}
		timer.Stop()
	}
	if d.unpause != nil {
		d.unpause()
	}
}

// adopt sees what a process before this one left, once, before anything is decided.
func (d *driver) adopt(ctx context.Context) {
	p, err := d.open(spec.DefaultPooler())
	if err == nil {
		var s pooler.State
		asking, cancel := context.WithTimeout(ctx, doMax)
		defer cancel()
		if s, err = p.State(asking); err == nil {
			d.take(p)
			d.targets = s.Targets
			d.note(s)
			if s.Paused {
				d.paused(ctx, false) // and is asked once more: whether all have drained, only a pause tells
			}
		}
	}
	d.failed(err)
	d.seen.set(d, func(s *seen) { s.adopted = true })
}

// step brings the pooler to what is wanted; the next one begins where this one failed.
func (d *driver) step(ctx context.Context) error {
	d.mu.Lock()
	w := d.want
	d.mu.Unlock()
	if !w.known {
		return nil
	}
	err := d.do(ctx, w)
	d.failed(err)
	return err
}

func (d *driver) do(ctx context.Context, w want) error {
	if w.off {
		return d.end(ctx)
	}
	if err := d.ensure(ctx, w); err != nil {
		return err
	}
	if w.hold {
		return d.hold(ctx, w)
	}
	return d.letGo(ctx, w)
}

// ensure has the program run. One that has to be started while clients are to wait begins without a place to
// send them to: nothing gets through before it is paused.
func (d *driver) ensure(ctx context.Context, w want) error {
	if d.p == nil || d.rules != w.rules {
		p, err := d.open(w.rules)
		if err != nil {
			return err
		}
		d.take(p)
		d.rules, d.up = w.rules, false
	}
	if d.up && !d.known().recheck {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, doMax)
	defer cancel()
	s, err := d.p.State(ctx)
	if err != nil {
		return err
	}
	if d.unpause != nil && !(s.Running && s.Paused) { // the pause has died with it
		d.unpause()
		d.unpause = nil
		d.seen.letGo(d, 0)
	}
	targets := w.targets
	switch {
	case w.hold && s.Running:
		targets = d.targets
	case w.hold:
		targets = nil
	}
	d.seen.set(d, func(s *seen) { s.recheck = false })
	if err := d.p.Ensure(ctx, targets); err != nil {
		d.up = false
		return err
	}
	d.up, d.targets = true, targets
	return d.look(ctx)
}

// take makes p the pooler that watch looks at, too.
func (d *driver) take(p pooler.Pooler) {
	d.p = p
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen.p = p
}

// hold lets no transaction begin, and leaves the waiting for those that are open to a goroutine.
func (d *driver) hold(ctx context.Context, w want) error {
	if d.unpause == nil {
		d.paused(ctx, w.atOnce)
	}
	ctx, cancel := context.WithTimeout(ctx, doMax)
	defer cancel()
	if d.known().pool.DrainedAt != 0 && len(w.targets) > 0 && !slices.Equal(d.targets, w.targets) {
		if err := d.route(ctx, w.targets); err != nil {
			return err
		}
	}
	if !w.terminate {
		return nil
	}
	n, err := d.p.DropActive(ctx)
	d.seen.set(d, func(s *seen) { s.pool.Dropped += n })
	return err
}

// paused pauses until ctx ends, or unpause is called.
func (d *driver) paused(ctx context.Context, atOnce bool) {
	ctx, d.unpause = context.WithCancel(ctx)
	d.seen.held(d, d.now())
	go d.drain(ctx, d.p, atOnce)
	hint(d.hurry)
}

func (d *driver) drain(ctx context.Context, p pooler.Pooler, atOnce bool) {
	var err error
	if atOnce {
		err = p.Hold(ctx)
	}
	if err == nil {
		err = p.Pause(ctx)
	}
	if ctx.Err() != nil {
		return // let go meanwhile
	}
	if err != nil {
		d.log.Warn("clients could not be held", "error", err)
		d.seen.set(d, func(s *seen) { s.recheck = true })
		hint(d.changed)
		return
	}
	d.seen.set(d, func(s *seen) { s.pool.DrainedAt = d.now() })
	hint(d.changed) // it can be told ahead where to
}

// letGo sends clients to the targets. The order matters: first it knows where to, then it lets them go, then who
// hangs on a server elsewhere is dropped.
func (d *driver) letGo(ctx context.Context, w want) error {
	ctx, cancel := context.WithTimeout(ctx, doMax)
	defer cancel()
	if d.refresh || !slices.Equal(d.targets, w.targets) {
		if err := d.p.Route(ctx, w.targets); err != nil {
			return err
		}
		d.targets, d.refresh = w.targets, false
		d.seen.set(d, func(s *seen) { s.targets = w.targets })
	}
	if d.unpause != nil {
		d.unpause()
		if err := d.p.Resume(ctx); err != nil {
			return err
		}
		d.unpause = nil
		d.seen.letGo(d, d.now())
	}
	if !w.drop {
		return nil
	}
	n, err := d.p.DropStale(ctx, w.targets)
	if err != nil {
		return err
	}
	if n > 0 {
		d.log.Info("clients with a transaction on a server that gets none any more were dropped", "clients", n)
	}
	d.mu.Lock()
	if d.want.equal(w) {
		d.want.drop = false
	}
	d.mu.Unlock()
	return nil
}

// settle lets no transaction begin any more, and waits for those that are open. It says whether it has paused.
func (d *driver) settle(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, settleMax)
	defer cancel()
	if s, err := d.p.State(ctx); err != nil || !s.Running {
		return false
	}
	if err := d.p.Pause(ctx); err != nil {
		d.log.Info("the endpoint ends before all transactions have", "error", err)
	}
	return true
}

func (d *driver) route(ctx context.Context, targets []pooler.Target) error {
	if err := d.p.Route(ctx, targets); err != nil {
		return err
	}
	d.targets = targets
	d.seen.set(d, func(s *seen) { s.targets = targets })
	return nil
}

// end stops the program, and with it its clients. What they have begun may end first, for a while: a statement that is cut
// tells nobody whether it was done.
func (d *driver) end(ctx context.Context) error {
	if d.p == nil {
		return nil
	}
	settled := d.settle(ctx)
	ctx, cancel := context.WithTimeout(ctx, doMax)
	defer cancel()
	if d.unpause != nil {
		d.unpause()
		d.unpause = nil
		d.seen.letGo(d, 0)
	}
	if err := d.p.Stop(ctx); err != nil {
		if settled { // or its clients would wait, if it is to stay after all
			err = errors.Join(err, d.p.Resume(context.WithoutCancel(ctx)))
		}
		return err
	}
	d.take(nil)
	d.up, d.targets = false, nil
	d.seen.set(d, func(s *seen) { s.down, s.pid, s.targets, s.pool.Clients = true, 0, nil, 0 })
	return nil
}
