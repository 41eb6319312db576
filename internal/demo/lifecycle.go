package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout  = 90 * time.Second // for all members, from nothing to streaming
	stopTimeout   = 30 * time.Second // what a member may take to stop in order
	statusEvery   = 300 * time.Millisecond
	processEvery  = 20 * time.Millisecond
	retryJoinTime = 30 * time.Second
)

// Start starts every member (a new cluster's are initialised and joined first) and waits
// until all stream; then the role and the database `app` are there.
func (c *Cluster) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("the cluster did not come up in "+startTimeout.String()))
	defer cancel()
	c.keepRecord()
	start := c.startKept
	if !c.layout.Ready {
		start = c.startNew
	}
	if err := start(ctx); err != nil {
		return c.explain(ctx, err)
	}
	if _, err := c.WaitHealthy(ctx, c.sayChanges); err != nil {
		return c.explain(ctx, err)
	}
	return c.makeApp(ctx)
}

func (c *Cluster) startKept(ctx context.Context) error {
	for _, m := range c.members {
		if err := m.start(c.exe, c.say); err != nil {
			return err
		}
	}
	return nil
}

// startNew goes on where an interrupted start ended.
func (c *Cluster) startNew(ctx context.Context) error {
	first := c.members[0]
	for i, m := range c.members {
		if !c.layout.Members[i].Joined {
			enlist := func() error { return c.initialise(ctx, m) }
			if i > 0 {
				enlist = func() error { return c.joinWhenUp(ctx, first, m) }
			}
			if err := enlist(); err != nil {
				return err
			}
			c.layout.Members[i].Joined = true
			if err := c.saveLayout(); err != nil {
				return err
			}
		}
		if err := m.start(c.exe, c.say); err != nil {
			return err
		}
	}
	c.layout.Ready = true
	return c.saveLayout()
}

// joinWhenUp joins m as soon as the first member answers.
func (c *Cluster) joinWhenUp(ctx context.Context, first, m *member) error {
	if err := c.waitFor(ctx, statusEvery, func() bool {
		_, err := c.statusFrom(ctx, first)
		return err == nil
	}); err != nil {
		return err
	}
	var err error
	deadline, cancel := context.WithTimeout(ctx, retryJoinTime)
	defer cancel()
	_ = c.waitFor(deadline, statusEvery, func() bool {
		err = c.join(ctx, first, m)
		return err == nil
	})
	return err
}

// waitFor looks again and again until done says so, ctx ends or an agent is hopeless.
func (c *Cluster) waitFor(ctx context.Context, every time.Duration, done func() bool) error {
	for !done() {
		for _, m := range c.members {
			if err := m.hopeless(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(every):
		}
	}
	return nil
}

// WaitHealthy waits until one member is primary and all others stream, as one answer of
// `pgherd status` says; each answer is shown to look.
func (c *Cluster) WaitHealthy(ctx context.Context, look func(Status)) (Status, error) {
	var last Status
	err := c.waitFor(ctx, statusEvery, func() bool {
		s, err := c.Status(ctx)
		if err != nil {
			return false
		}
		last = s
		look(s)
		return s.Healthy(len(c.members))
	})
	return last, err
}

// sayChanges tells each change of a member's state once. That a member was not up before
// it was started is no news.
func (c *Cluster) sayChanges(s Status) {
	for _, m := range s.Members {
		word, said := m.word(), c.said[m.Name]
		if said == word || said == "" && (m.State == "stopped" || m.State == "unreachable") {
			continue
		}
		c.said[m.Name] = word
		c.say("%s: %s", m.Name, word)
	}
}

// explain adds where things stood when starting failed.
func (c *Cluster) explain(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStopped) {
		return errStopped // whatever it stopped in
	}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		return err
	}
	short, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	text := err.Error()
	if s, serr := c.Status(short); serr == nil {
		text += ": " + s.String()
	} else {
		text += ": " + serr.Error()
	}
	return fail(text, "the members' logs: "+filepath.Join(c.dir, "*", "agent.log"))
}

// Stop stops everything as a machine's shutdown does: all agents are asked at once, and
// they stop PostgreSQL.
func (c *Cluster) Stop(ctx context.Context) error {
	for _, m := range c.members {
		m.unwant()
	}
	err := c.stopProcesses(ctx)
	c.note()
	return err
}

// stopProcesses asks the agents, then what they left behind, and in the end kills. When
// ctx is done it kills at once. An error says what was not stopped in order.
func (c *Cluster) stopProcesses(ctx context.Context) error {
	send(c.processes(), syscall.SIGTERM, "", kindAgent)
	if c.gone(ctx, stopTimeout) {
		return nil
	}
	left := describe(c.processes())
	if ctx.Err() == nil {
		send(c.processes(), syscall.SIGTERM, "", kindAgent, kindWarden)
		c.gone(ctx, stopTimeout/3)
	}
	c.kill("")
	if !c.gone(context.Background(), stopTimeout) {
		return fail("processes that cannot be killed: "+describe(c.processes()), "")
	}
	if ctx.Err() != nil {
		return nil // it was asked for
	}
	return fmt.Errorf("not stopped after %s, so it was killed: %s", stopTimeout, left)
}

// gone waits until no process of the cluster is left.
func (c *Cluster) gone(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return poll(ctx, processEvery, func() bool { return len(c.processes()) == 0 })
}

// poll looks until done or ctx ends.
func poll(ctx context.Context, every time.Duration, done func() bool) bool {
	for !done() {
		select {
		case <-ctx.Done():
			return done()
		case <-time.After(every):
		}
	}
	return true
}

func describe(found []process) string {
	var words []string
	for _, p := range found {
		words = append(words, fmt.Sprintf("%s's %s (PID %d)", p.member, p.kind, p.pid))
	}
	return strings.Join(words, ", ")
}
