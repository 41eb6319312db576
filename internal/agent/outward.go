package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/hook"
	"github.com/pgherd/pgherd/internal/vip"
	"github.com/pgherd/pgherd/internal/warden"
)

// outward shows this member's role to the world: the virtual address and the administrator's programs
// follow it, in a goroutine of their own that no decision waits for. What it does is derived
// anew at each look; nothing is handed over that could be lost.
type outward struct {
	a      *Agent
	bearer *bearer      // nil: no address here
	hooks  *hook.Runner // nil: none
	poked  chan struct{}
	told   hook.Event

	mu         sync.Mutex
	problem    string
	since      core.Instant
	hooksSince core.Instant
}

const (
	outwardEvery = time.Second     // a look, if nothing happens
	outwardLimit = 5 * time.Second // one look
)

// newOutward gives nil when nobody outside is to be shown anything.
func newOutward(a *Agent) *outward {
	o := &outward{a: a, poked: make(chan struct{}, 1)}
	o.bearer = openBearer(a.o.Config.StateDir, a.o.Config.VIP.Interface, a.o.Log)
	if o.bearer != nil {
		o.bearer.guard = o.guard
	}
	if dir := a.o.Config.HooksDir; dir != "" {
		o.hooks = hook.Open(dir, a.o.Log)
		o.hooks.Changed = a.poke
	}
	if o.bearer == nil && o.hooks == nil {
		return nil
	}
	return o
}

func (o *outward) guard(ctx context.Context, a *vip.Address) error {
	c := o.a.warden.client()
	if c == nil {
		return warden.ErrDisconnected
	}
	return c.GuardVIP(ctx, a)
}

// poke asks for a look: something has changed.
func (o *outward) poke() {
	if o == nil {
		return
	}
	select {
	case o.poked <- struct{}{}:
	default:
	}
}

// keep runs until ctx ends, and looks once more then: PostgreSQL has stopped, unless the agent is
// about to leave it running.
func (o *outward) keep(ctx context.Context) error {
	hooks, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	if o.hooks != nil {
		running.Go(func() { _ = o.hooks.Keep(hooks) })
	}
	for ctx.Err() == nil {
		wait := o.look(ctx)
		select {
		case <-ctx.Done():
		case <-o.poked:
		case <-time.After(wait):
		}
	}
	if !o.a.detaching.Load() {
		o.look(context.WithoutCancel(ctx))
	}
	stop()
	running.Wait()
	return nil
}

// look takes the role of now to the world, and says when to look again at the latest.
func (o *outward) look(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, outwardLimit)
	defer cancel()
	wait := outwardEvery
	for changed := true; changed && ctx.Err() == nil; {
		w, now := o.a.warden.status(), warden.BootNow()
		stands := standingOf(o.a.latest(), w, now)
		if o.hooks != nil {
			o.tell(stands)
		}
		if w.Deadline > now {
			wait = min(wait, w.Deadline.Sub(now))
		}
		if o.bearer == nil {
			break
		}
		var err error
		changed, err = o.bearer.look(ctx, o.wish(stands, w))
		o.note(now, err)
		changed = changed && err == nil
		if until := time.Until(o.bearer.next); until > 0 {
			wait = min(wait, until)
		}
	}
	return max(wait, tickMin)
}

func (o *outward) wish(stands standing, w warden.Status) wish {
	s := o.a.latest().View.Store
	if stands == standsPrimary && !s.Known {
		stands = standsUnknown
	}
	return wish{stands: stands, prefix: s.Spec.VIP.Prefix(), guarded: w.VIP, members: s.Members}
}

// tell calls the programs when the standing has changed, or a primary's term.
func (o *outward) tell(stands standing) {
	e := hook.Event{Name: string(stands), Cluster: o.a.id.Cluster, Member: o.a.o.Config.Name, Term: o.a.latest().Report.Term}
	if stands == standsUnknown || e.Name == o.told.Name && (stands != standsPrimary || e.Term == o.told.Term) {
		return
	}
	o.told = e
	o.hooks.Tell(e)
}

// note keeps what is wrong for the next decision's conditions.
func (o *outward) note(now core.Instant, err error) {
	text := ""
	if err != nil && !errors.Is(err, context.Canceled) {
		text = err.Error()
	}
	o.mu.Lock()
	was := o.problem
	o.problem = text
	if was == "" {
		o.since = now
	}
	o.mu.Unlock()
	if was == text {
		return
	}
	if text != "" {
		o.a.o.Log.Error(string(core.CondVIP), slog.String("error", text))
	}
	o.a.poke()
}

// conditions are what a person should know; they go into no decision.
func (o *outward) conditions(now core.Instant) (found []core.Condition) {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.problem != "" {
		found = append(found, core.NewCondition(core.CondVIP, o.since, "%s", o.problem))
	}
	if o.hooks == nil {
		return found
	}
	if text := o.hooks.Problem(); text == "" {
		o.hooksSince = 0
	} else {
		if o.hooksSince == 0 {
			o.hooksSince = now
		}
		found = append(found, core.NewCondition(core.CondHook, o.hooksSince, "%s", text))
	}
	return found
}
