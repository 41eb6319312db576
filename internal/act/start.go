package act

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/warden"
)

const (
	reloadSignal = syscall.SIGHUP
	fastShutdown = syscall.SIGINT
)

// start runs postgres under the warden, as a standby or as the primary it was. The
// configuration is tried first: a broken one is told in PostgreSQL's own words.
func (r *Runner) start(ctx context.Context, s core.Step) error {
	c, err := r.warden()
	if err != nil {
		return err
	}
	in := r.Server.Instance
	if s.Standby {
		err = errors.Join(postgres.EnsureStandbySignal(in), postgres.DropReserved(in))
	} else {
		err = postgres.RemoveStandbySignal(in)
	}
	if err != nil {
		return err
	}
	if err := postgres.TestConfig(ctx, in); err != nil {
		return err
	}
	if s.Standby {
		if err := c.Disarm(ctx, max(c.Status().Term, 1)); err != nil {
			return err
		}
	}
	if err := r.guard(s.Guard); err != nil {
		return err
	}
	r.Server.stopped.forget() // numbers of processes come again
	path, args, env := postgres.StartArgs(in)
	r.Log.Info("starting PostgreSQL", "standby", s.Standby, "why", s.Why.Text)
	return c.Start(ctx, warden.Command{Path: path, Args: args, Env: env})
}

// onceAWhile remembers the last request, so that what takes a while is not asked for
// again on every tick.
type onceAWhile struct {
	mu sync.Mutex
	id int
	at time.Time
}

// ask calls request, unless it succeeded for this id a moment ago.
func (o *onceAWhile) ask(id int, request func() error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.id == id && time.Since(o.at) < 5*time.Second {
		return nil
	}
	if err := request(); err != nil {
		return err
	}
	o.id, o.at = id, time.Now()
	return nil
}

func (o *onceAWhile) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.id = 0
}

func (o *onceAWhile) last() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.id
}

// stop asks for a fast shutdown: sessions are terminated, not cancelled, so no commit
// that waits for a standby is acknowledged on the way.
func (r *Runner) stop(ctx context.Context, s core.Step) error {
	c, err := r.warden()
	if err != nil {
		return err
	}
	pid := c.Status().PostmasterPID
	if pid == 0 {
		return nil
	}
	return r.Server.stopped.ask(pid, func() error {
		r.Log.Info("stopping PostgreSQL", "why", s.Why.Text)
		defer r.await(postgres.StateShutDown)
		return c.Signal(ctx, fastShutdown)
	})
}
