package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/postgres"
)

const (
	settleAhead  = 500 * time.Millisecond // after the checkpoint, as pgherd does it
	controlEvery = time.Millisecond
	sessionEvery = 500 * time.Microsecond
	scriptMax    = 30 * time.Second
)

// handover is the script: nothing that could be left out, nothing that polls slowly, and nobody who
// asks what happens if it breaks off.
func (b *byHand) handover(ctx context.Context) (p phases, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, scriptMax, errors.New("the script took longer than "+scriptMax.String()))
	defer cancel()
	old, next := b.primary, b.other(b.primary)
	if err := old.exec(ctx, "CHECKPOINT"); err != nil {
		return p, err
	}
	if err := sleep(ctx, settleAhead); err != nil {
		return p, err
	}
	began := time.Now()
	for _, step := range []struct {
		took *time.Duration
		do   func() error
	}{
		{&p.Drain, func() error { return b.pool.Pause(ctx) }},
		{&p.Stop, func() error { return stopAndProve(ctx, old, next) }},
		{&p.Promote, func() error { return promote(ctx, next) }},
		{nil, func() error { return b.letGo(ctx, next) }},
	} {
		at := time.Now()
		if err := step.do(); err != nil {
			return p, err
		}
		if step.took != nil {
			*step.took = time.Since(at)
		}
	}
	p.Held = time.Since(began)
	b.primary = next
	return p, nil
}

func (b *byHand) letGo(ctx context.Context, to *server) error {
	if err := b.pool.Route(ctx, []pooler.Target{to.target()}); err != nil {
		return err
	}
	return b.pool.Resume(ctx)
}

// stopAndProve does not wait for the process to end, which takes longer: "shut down" in the control file
// means that all sessions are gone and no WAL can follow.
func stopAndProve(ctx context.Context, old, next *server) error {
	if err := old.signal(syscall.SIGINT); err != nil {
		return fmt.Errorf("%s: %w", old, err)
	}
	var control postgres.Control
	err := await(ctx, controlEvery, func() (_ bool, err error) {
		control, err = postgres.ReadControl(old.in.DataDir)
		return control.State == postgres.StateShutDown, err
	})
	if err != nil {
		return err
	}
	return await(ctx, sessionEvery, func() (bool, error) {
		return next.is(ctx, "SELECT pg_last_wal_replay_lsn() > $1::text::pg_lsn", control.Checkpoint.String())
	})
}

func promote(ctx context.Context, next *server) error {
	if err := next.exec(ctx, "SELECT pg_promote(false)"); err != nil {
		return err
	}
	return await(ctx, sessionEvery, func() (bool, error) { return next.is(ctx, "SELECT NOT pg_is_in_recovery()") })
}

// ready starts the old primary as a standby, and has commits wait for it once it streams. (Until then
// nothing waits: a new primary that waits for a standby that is not there would hold its first commit.)
func (b *byHand) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyMax, errors.New("the standby did not stream in "+readyMax.String()))
	defer cancel()
	standby := b.other(b.primary)
	if standby.admin.Ping(ctx) != nil {
		if err := standby.again(ctx); err != nil {
			return err
		}
	}
	err := await(ctx, lookEvery, func() (bool, error) {
		return b.primary.is(ctx, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")
	})
	if err != nil {
		return err
	}
	if err := standby.set(ctx, map[string]string{"synchronous_standby_names": ""}); err != nil {
		return err
	}
	return b.primary.set(ctx, map[string]string{"synchronous_standby_names": postgres.SyncNames(1, []string{standby.name})})
}

// again starts a former primary as a standby: it was stopped in order, and so nothing has to be rewound.
func (s *server) again(ctx context.Context) error {
	select {
	case <-s.ended:
	case <-ctx.Done():
		return fmt.Errorf("%s does not end: %w", s, context.Cause(ctx))
	}
	_ = s.admin.Close(ctx)
	if err := postgres.EnsureStandbySignal(s.in); err != nil {
		return err
	}
	return s.start(ctx)
}
