package endpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/route"
)

const (
	watchEvery = time.Second
	watchHurry = 100 * time.Millisecond // while clients are held
	blockerMax = 10                     // named in an answer
)

// seen is what a driver knows of its pooler; the driver's lock guards it.
type seen struct {
	adopted bool
	pool    route.Pool // without Targets
	targets []pooler.Target
	p       pooler.Pooler
	down    bool // it has no process
	recheck bool // it has to be looked at anew before anything else
	pid     int
	version string
	err     string
	missing bool // the program is not there, or too old
}

// set changes what is known, and has decisions be made anew.
func (s *seen) set(d *driver, change func(*seen)) {
	d.mu.Lock()
	change(s)
	d.mu.Unlock()
	d.poke()
}

func (s *seen) held(d *driver, at core.Instant) {
	s.set(d, func(s *seen) { s.pool.HeldAt, s.pool.DrainedAt, s.pool.Dropped = at, 0, 0 })
}

func (s *seen) letGo(d *driver, at core.Instant) {
	s.set(d, func(s *seen) {
		s.pool.HeldAt, s.pool.DrainedAt = 0, 0
		if at != 0 {
			s.pool.LetGoAt = at
		}
	})
}

// known gives a copy.
func (d *driver) known() seen {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.seen
	s.targets = slices.Clone(s.targets)
	return s
}

// failed takes note of what went wrong, or of nothing.
func (d *driver) failed(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	missing := errors.Is(err, pooler.ErrMissing) || errors.Is(err, pooler.ErrTooOld)
	d.mu.Lock()
	news := d.seen.err != text
	d.seen.err, d.seen.missing = text, missing
	if missing {
		d.seen.down = true
	}
	d.mu.Unlock()
	if !news {
		return
	}
	if text != "" {
		d.log.Error("PgBouncer", "error", err)
	}
	d.poke()
}

// look asks the pooler for its state.
func (d *driver) look(ctx context.Context) error {
	s, err := d.p.State(ctx)
	if err != nil {
		return err
	}
	d.note(s)
	return nil
}

func (d *driver) note(s pooler.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := &d.seen
	k.down, k.pid = !s.Running, s.PID
	if s.Running {
		k.version, k.targets = s.Version.String(), s.Targets
	}
	k.pool.Clients, k.pool.Waiting = s.Clients, s.Waiting
	k.pool.Blockers = blockers(s.Servers)
}

// blockers name what keeps a pooler from being drained.
func blockers(servers []pooler.Server) (text []string) {
	for _, s := range servers {
		if !s.Active {
			continue
		}
		if len(text) == blockerMax {
			return append(text, "and others")
		}
		text = append(text, fmt.Sprintf("backend %d of %s: %s in database %s, client %s, since %s", s.RemotePID, s.Target, s.User, s.Database, s.Client, s.Since.Format(time.RFC3339)))
	}
	return text
}

// watch looks again and again: for what people want to know, and for a process that has ended, whose
// end it hears of at once.
func (d *driver) watch(ctx context.Context) {
	pid, ended := 0, (<-chan struct{})(nil)
	for ctx.Err() == nil {
		d.lookAt(ctx)
		k := d.known()
		if k.pid != pid {
			pid, ended = k.pid, exit(ctx, k.pid)
		}
		every := watchEvery
		if k.pool.HeldAt != 0 {
			every = watchHurry
		}
		if d.sleep(ctx, every, ended) {
			ended = nil
		}
	}
}

// sleep waits until it is time to look again, or for the end of the process, which it says. That clients are held from now on
// makes it shorter, but is no reason to look at once: nothing is to be asked of a pooler that is draining.
func (d *driver) sleep(ctx context.Context, every time.Duration, ended <-chan struct{}) bool {
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return false
		case <-d.hurry:
			if every > watchHurry { // only once: it must not be put off again and again
				every = watchHurry
				timer.Reset(every)
			}
		case <-ended:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

func (d *driver) lookAt(ctx context.Context) {
	was := d.known()
	if was.p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, doMax)
	defer cancel()
	s, err := was.p.State(ctx)
	if err != nil {
		return // a console that does not answer in time is no reason to begin anew
	}
	d.note(s)
	if !s.Running {
		d.seen.set(d, func(s *seen) { s.recheck = true })
		hint(d.changed)
	}
	if was.pool.Waiting != s.Waiting || was.down == s.Running {
		d.poke()
	}
}

// exit is closed when the process has ended; nil where that cannot be known.
func exit(ctx context.Context, pid int) <-chan struct{} {
	if pid <= 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	ended := make(chan struct{})
	go func() {
		defer unix.Close(fd)
		for ctx.Err() == nil {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(watchEvery.Milliseconds()))
			if n > 0 || err != nil && err != unix.EINTR {
				close(ended)
				return
			}
		}
	}()
	return ended
}
