package demo

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	tourWriters = 4
	stepTimeout = 2 * time.Minute // for everything to be well again after one fault
	warmUp      = 2 * time.Second
	powerOff    = 3 * time.Second // how long a member stays without power after another leads
	calm        = time.Second     // between two steps
)

// step is one station of the tour and what was measured there.
type step struct {
	title    string
	from, to string // who led before and after
	gap      time.Duration
	rejoin   time.Duration
	rejoinOf string
}

// tour breaks the cluster three times while writers run, and counts the rows.
type tour struct {
	c     *Cluster
	load  *Load
	say   func(format string, args ...any)
	steps []step
}

// Tour runs it and prints the story and its table. An error is the verdict: a row is
// missing, or something did not come back.
func (c *Cluster) Tour(ctx context.Context, say func(string, ...any)) error {
	say("")
	say("The tour: %d writers insert rows all the time through the connection string for writing,", tourWriters)
	say("while the cluster is broken. Each row that a writer saw acknowledged is counted at the end.")
	load, err := c.StartLoad(ctx, tourWriters)
	if err != nil {
		return fmt.Errorf("starting the writers: %w", err)
	}
	t := &tour{c: c, load: load, say: say}
	err = t.run(ctx)
	load.Stop()
	if err != nil {
		return err
	}
	return t.finish(ctx)
}

func (t *tour) run(ctx context.Context) error {
	if err := t.rest(ctx, warmUp); err != nil {
		return err
	}
	steps := []func(context.Context, *step) error{t.killPostmaster, t.powerCut, t.switchover}
	switch len(t.c.members) {
	case 1:
		steps = steps[:1]
		t.say("With one member nobody can take over: only its postmaster is killed.")
	case 2:
		steps = []func(context.Context, *step) error{t.killPostmaster, t.switchover}
		t.say("With two members neither is a majority without the other: no power cut in this tour.")
	}
	for _, do := range steps {
		if err := t.station(ctx, do); err != nil {
			return fmt.Errorf("the tour: %w", err)
		}
		if err := t.rest(ctx, calm); err != nil {
			return err
		}
	}
	return nil
}

// station runs one step from a healthy cluster to a healthy cluster and measures it.
func (t *tour) station(ctx context.Context, do func(context.Context, *step) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stepTimeout, errors.New("all is not well again after "+stepTimeout.String()))
	defer cancel()
	before, err := t.c.WaitHealthy(ctx, func(Status) {})
	if err != nil {
		return err
	}
	s := step{from: before.Primary()}
	began := time.Now()
	if err := do(ctx, &s); err != nil {
		return err
	}
	if err := t.load.WaitAcked(ctx, time.Now(), 1); err != nil {
		return err
	}
	s.gap = t.load.LongestGap(began, time.Now()).Length()
	t.say("   writes stopped for %s; %s", seconds(s.gap), t.led(s))
	if s.rejoin > 0 {
		t.say("   %s streams again after %s", s.rejoinOf, seconds(s.rejoin))
	}
	t.steps = append(t.steps, s)
	return nil
}

func (t *tour) led(s step) string {
	if s.from == s.to {
		return s.from + " leads again"
	}
	return s.to + " leads now"
}

func (t *tour) killPostmaster(ctx context.Context, s *step) error {
	began := time.Now()
	pid, err := t.c.KillPostmaster(s.from)
	if err != nil {
		return err
	}
	s.title = "kill -9 of the postmaster"
	t.say("")
	t.say("kill -9 of the primary's postmaster: %s, PID %d", s.from, pid)
	after, err := t.c.WaitBack(ctx, s.from, pid)
	s.to, s.rejoinOf = after.Primary(), s.from
	if s.to != s.from {
		s.rejoin = time.Since(began)
	}
	return err
}

func (t *tour) powerCut(ctx context.Context, s *step) error {
	s.title = "power cut of the member"
	t.say("")
	t.say("Power cut: agent, warden and PostgreSQL of the primary %s are killed at once", s.from)
	killed, err := t.c.KillMember(ctx, s.from)
	if err != nil {
		return err
	}
	other, err := t.c.WaitLeader(ctx, s.from)
	if err != nil {
		return err
	}
	t.say("   %d processes killed; %s leads; %s stays without power for %s more", killed, other.Primary(), s.from, powerOff)
	if err := t.rest(ctx, powerOff); err != nil {
		return err
	}
	began := time.Now()
	if err := t.c.StartMember(s.from); err != nil {
		return err
	}
	after, err := t.c.WaitBack(ctx, s.from, 0)
	s.to, s.rejoinOf, s.rejoin = after.Primary(), s.from, time.Since(began)
	return err
}

func (t *tour) switchover(ctx context.Context, s *step) error {
	s.title = "pgherd switchover"
	t.say("")
	t.say("pgherd switchover: %s hands over", s.from)
	began := time.Now()
	if _, err := t.c.Switchover(ctx); err != nil {
		return err
	}
	after, err := t.c.WaitHealthy(ctx, func(Status) {})
	if err != nil {
		return err
	}
	s.to, s.rejoinOf, s.rejoin = after.Primary(), s.from, time.Since(began)
	if s.to == s.from {
		return fmt.Errorf("%s still leads", s.from)
	}
	return nil
}

// WaitLeader waits until another member than old is the running primary.
func (c *Cluster) WaitLeader(ctx context.Context, old string) (last Status, err error) {
	err = c.waitFor(ctx, statusEvery, func() bool {
		s, err := c.Status(ctx)
		last = s
		return err == nil && s.Primary() != "" && s.Primary() != old
	})
	return last, err
}

// WaitBack waits until all is well with a new postmaster on the member whose postmaster
// had the PID. The status must name that new one: an answer may be older than the fault.
func (c *Cluster) WaitBack(ctx context.Context, name string, oldPID int) (last Status, err error) {
	err = c.waitFor(ctx, statusEvery, func() bool {
		s, err := c.Status(ctx)
		if err != nil || !s.Healthy(len(c.members)) {
			return false
		}
		last = s
		pid := c.postmasterOf(name)
		return pid != 0 && pid != oldPID && s.Member(name).PostgresPID == pid
	})
	return last, err
}

func (c *Cluster) postmasterOf(name string) int {
	for _, p := range c.processes() {
		if p.member == name && p.kind == kindPostmaster {
			return p.pid
		}
	}
	return 0
}

// rest lets the writers write for a while.
func (t *tour) rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// finish counts the rows everywhere and prints the table.
func (t *tour) finish(ctx context.Context) error {
	after, err := t.c.WaitHealthy(ctx, func(Status) {})
	if err != nil {
		return err
	}
	t.table()
	verdicts, err := t.load.Check(ctx, t.c, after.Primary())
	if err != nil {
		return err
	}
	t.say("")
	t.say("%d rows were acknowledged; for %d more the connection was lost before the answer, so either is right.", t.load.Acked(), t.load.Unknown())
	ok := true
	for _, v := range verdicts {
		t.say("   %s", v)
		ok = ok && v.OK()
	}
	t.say("")
	if !ok {
		return errors.New("the rows are not what the writers were told")
	}
	t.say("Every acknowledged row is there, once, on every member.")
	return nil
}

func (t *tour) table() {
	t.say("")
	t.say("%-28s  %-12s  %14s  %s", "what happened", "primary", "writes stopped", "back as a standby")
	for _, s := range t.steps {
		back := "-"
		if s.rejoin > 0 {
			back = s.rejoinOf + " after " + seconds(s.rejoin)
		}
		t.say("%-28s  %-12s  %14s  %s", s.title, s.from+" -> "+s.to, seconds(s.gap), back)
	}
}

// seconds writes a duration as people compare them.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
