package agent

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/act"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/invariant"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/trust"
	"github.com/pgherd/pgherd/internal/warden"
)

const (
	tickMin   = 5 * time.Millisecond  // between two ticks, however often the loop is woken
	tickHeld  = 40 * time.Millisecond // the same, while clients are held and others move the primary
	tickSoon  = time.Millisecond      // the same, where core has asked to look again sooner
	tickLimit = 10 * time.Second
)

// loop is the agent: look, decide, write down, act, and again. Watches, process
// exits, timers and API calls only wake it; nothing waits inside a tick.
func (a *Agent) loop(ctx context.Context) {
	for !a.finished() && !a.detaching.Load() {
		wakeAt := a.tick(context.WithoutCancel(ctx), ctx.Err() != nil)
		a.supervisor.Alive()
		a.sleep(ctx, wakeAt)
	}
}

func (a *Agent) tick(ctx context.Context, stopping bool) (wakeAt core.Instant) {
	began := time.Now()
	defer func() { a.metrics.Ticked(time.Since(began)) }()
	ctx, cancel := context.WithTimeout(ctx, tickLimit)
	defer cancel()
	view := a.observer.View(ctx)
	view.Stopping, view.Failed = stopping, a.failed
	a.endpoints.say(&view)
	before := a.memory
	looked := time.Now()
	plan, memory, report := core.Decide(before, view)
	a.metrics.Decided(time.Since(looked))
	a.metrics.See(&before, &view)
	a.memory = memory
	report.Conditions = append(report.Conditions, a.proof.watch(invariant.Decision{Memory: before, View: view, Plan: plan, Report: report})...)
	report.Conditions = append(report.Conditions, a.storeLost(view)...)
	report.Conditions = append(report.Conditions, a.outward.conditions(view.Now)...)
	report.Conditions = append(report.Conditions, a.endpoints.conditions()...)
	report.Conditions = append(report.Conditions, a.voter.conditions(view.Now, view.Store.Members)...)
	entry := journal.Entry{At: time.Now(), Began: a.began, Memory: before, View: view, Plan: plan, Report: report}
	a.publish(entry)
	a.logDecision(plan, report)
	err := a.runner.Run(ctx, plan)
	a.noteFailure(view, plan, err)
	if err != nil {
		entry.Outcome = err.Error()
		a.publish(entry)
		return min(report.WakeAt, warden.BootNow().Add(100*time.Millisecond))
	}
	a.journal.Ended()
	return report.WakeAt
}

// logDecision writes each tick's decision with its reasons, for who asks for as much.
func (a *Agent) logDecision(plan core.Plan, report core.Report) {
	if !a.o.Log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	var steps, reasons []string
	for _, s := range plan.Steps {
		steps = append(steps, string(s.Kind)+": "+s.Why.Text)
	}
	for _, r := range report.Reasons {
		reasons = append(reasons, string(r.Code)+": "+r.Text)
	}
	a.o.Log.Debug("decided", "role", report.Role, "term", report.Term, "do", strings.Join(steps, "; "), "because", strings.Join(reasons, "; "))
}

// noteFailure keeps what core must know of a failed step.
func (a *Agent) noteFailure(view core.View, plan core.Plan, err error) {
	var now *core.StepFailure
	var failed *act.StepError
	if errors.As(err, &failed) {
		now = &core.StepFailure{Kind: failed.Kind, Text: failed.Err.Error(), At: warden.BootNow()}
	}
	a.failed = trust.NoteFailure(a.failed, &view, plan, now, errors.Is(err, store.ErrConflict))
}

// sleep waits until wakeAt or until something happened.
func (a *Agent) sleep(ctx context.Context, wakeAt core.Instant) {
	// A floor, not a wait: a storm of hints must not become a storm of ticks. Who asked for less knows why.
	floor := tickMin
	if looksOn(a.latest().View.Store, a.o.Config.Name) {
		floor = tickHeld
	}
	time.Sleep(min(floor, max(tickSoon, wakeAt.Sub(warden.BootNow()))))
	timer := time.NewTimer(max(0, wakeAt.Sub(warden.BootNow())))
	defer timer.Stop()
	stop := ctx.Done()
	if ctx.Err() != nil {
		stop = nil // known already; from now on the loop paces itself
	}
	select {
	case <-timer.C:
	case <-a.wake:
	case <-stop:
	}
}

// looksOn says that a member has no part yet in a handover that holds clients: each of its ticks would take time from those who have.
func looksOn(s core.StoreView, self string) bool {
	op := s.Operation
	return op.Holds() && s.Lease.Holder == op.From && self != op.From && self != op.To
}

// poke wakes the loop; many pokes make one tick.
func (a *Agent) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// finished says that the agent was told to stop and nothing is left to do: no process
// of PostgreSQL, and no lease of ours that others would have to wait for.
func (a *Agent) finished() bool {
	since := a.stopSince.Load()
	if since == 0 {
		return false
	}
	waited := time.Since(time.Unix(0, since))
	if a.server != nil && !(a.warden.status().Alive && a.warden.status().Empty) {
		return false
	}
	lease := a.latest().View.Store.Lease
	if lease.Holder == "" || lease.Released {
		return true
	}
	if lease.Holder == a.o.Config.Name {
		return waited > stopGrace
	}
	return waited > stopTogether
}

// How long an agent that was told to stop waits for others: a store that is shut
// down everywhere at once must outlive the primary's last word by a moment.
const (
	stopTogether = 2 * time.Second
	stopGrace    = 8 * time.Second
)
