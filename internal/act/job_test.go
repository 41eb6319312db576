package act

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/core"
)

func jobs(woken chan struct{}) *Jobs {
	return &Jobs{Now: func() core.Instant { return 7 }, Log: slog.New(slog.DiscardHandler), Wake: func() { woken <- struct{}{} }}
}

func TestJobIsSeenWhileItRunsAndAtItsEnd(t *testing.T) {
	woken, release, begun := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	j := jobs(woken)
	work := func(_ context.Context, progress func(int, string)) error {
		progress(40, "copying")
		close(begun)
		<-release
		return errors.New("disk full")
	}
	if err := j.Start(core.Step{Kind: core.StepClone, ID: "c"}, work); err != nil {
		t.Fatal(err)
	}
	<-begun
	if s := j.View(); !s.Running || s.Percent != 40 || s.Text != "copying" || s.ID != "c" {
		t.Errorf("while running: %+v", s)
	}
	if err := j.Start(core.Step{Kind: core.StepRewind}, work); !errors.Is(err, errJobRunning) {
		t.Errorf("a second job beside the first: %v", err)
	}
	close(release)
	<-woken
	if s := j.View(); s.Running || s.Err != "disk full" || s.EndedAt != 7 {
		t.Errorf("after the end: %+v", s)
	}
}

func TestStopCancelsAndWaits(t *testing.T) {
	j := jobs(make(chan struct{}, 1))
	ended := false
	if err := j.Start(core.Step{Kind: core.StepClone}, func(ctx context.Context, _ func(int, string)) error {
		<-ctx.Done()
		ended = true
		return ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	j.Stop()
	if !ended || j.View().Running {
		t.Error("Stop came back before the job had ended")
	}
}

// Core must tell a fork that could not be saved from a rewind that failed: the next rung is no answer.
func TestJobSaysWhichConditionItsErrorIs(t *testing.T) {
	woken := make(chan struct{}, 1)
	j := jobs(woken)
	for _, c := range []struct {
		err  error
		want core.Code
	}{{&notSaved{errors.New("disk full")}, core.CondForkNotSaved}, {errors.New("disk full"), ""}} {
		if err := j.Start(core.Step{Kind: core.StepRewind}, func(context.Context, func(int, string)) error { return c.err }); err != nil {
			t.Fatal(err)
		}
		<-woken
		if s := j.View(); s.Code != c.want || !strings.HasSuffix(s.Err, "disk full") {
			t.Errorf("%v: %+v", c.err, s)
		}
	}
}
