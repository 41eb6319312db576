package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
)

const (
	operationPoll  = 50 * time.Millisecond
	operationGrace = 10 * time.Second // beyond the limit of a phase: who drives it has to see that it is over, too
)

// OperationResult is what switchover, failover and restart answer with --json.
type OperationResult struct {
	ID      string  `json:"id"`
	Kind    string  `json:"kind"`
	From    string  `json:"from,omitempty"`
	To      string  `json:"to,omitempty"`
	Phase   string  `json:"phase"` // done or aborted
	Text    string  `json:"text,omitempty"`
	Seconds float64 `json:"seconds"`
	By      string  `json:"by,omitempty"`
	Reason  string  `json:"reason,omitempty"`

	Checks      []core.Check      `json:"checks,omitempty"`
	Certificate *core.Certificate `json:"certificate,omitempty"`  // of a switchover that is done
	CommitsLost *int              `json:"commits_lost,omitempty"` // 0, where the certificate proves it
}

// operate begins an operation and follows it to its end.
func (a *app) operate(cmd *cobra.Command, request api.OperationRequest, timeout time.Duration) error {
	if timeout < 0 || timeout > time.Hour {
		return usage("", "timeout %s: want 0 to 1h", timeout)
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	began := a.now()
	ctx, cancel := context.WithTimeout(cmd.Context(), callTimeout)
	defer cancel()
	op, err := c.Begin(ctx, request)
	if err != nil {
		return mutation(err)
	}
	op, err = a.follow(cmd.Context(), c, op, timeout)
	if err != nil {
		return err
	}
	took := a.now().Sub(began)
	if op.Kind == core.OpSwitchover && op.Phase == core.PhaseDone && !op.DryRun {
		op = a.awaitCertificate(cmd.Context(), c, op)
	}
	return a.operationEnded(op, took)
}

func (a *app) operationEnded(op core.Operation, took time.Duration) error {
	result := OperationResult{ID: op.ID, Kind: op.Kind, From: op.From, To: op.To, Phase: op.Phase, Text: op.Text, Seconds: took.Seconds(), Checks: op.Checks, By: op.By, Reason: op.Reason}
	switch {
	case op.Phase == core.PhaseScheduled:
		return a.answer(result, func(w io.Writer) {
			fmt.Fprintf(w, "%s is planned for %s\n", op.Kind, time.UnixMilli(op.AtMS).UTC().Format(time.RFC3339))
		})
	case op.DryRun:
		return a.dryRun(op, result)
	}
	if op.Kind == core.OpSwitchover && op.Phase == core.PhaseDone {
		result.Certificate = &op.Certificate
		if op.Certificate.Proves() {
			result.CommitsLost = new(int)
		}
	}
	if op.Phase == core.PhaseAborted {
		if a.json {
			_ = a.answer(result, nil) // the exit code says the rest
		}
		return failed("`pgherd explain` and `pgherd events` say more", "%s was taken back: %s", op.Kind, op.Text)
	}
	return a.answer(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s done in %.2f s: %s\n", op.Kind, took.Seconds(), op.Text)
		if result.Certificate != nil {
			printCertificate(w, op)
		}
	})
}

// follow prints the phases as they come. An agent or store that does not answer for
// a moment is normal while the primary changes. Each phase has its time, and the first as much more as its checkpoint
// takes: nobody waits for that but who reads this.
func (a *app) follow(ctx context.Context, c *api.Client, op core.Operation, timeout time.Duration) (core.Operation, error) {
	limit := timeout + operationGrace
	late := time.NewTimer(limit)
	defer late.Stop()
	began, phase := a.now(), ""
	tick := time.NewTicker(operationPoll)
	defer tick.Stop()
	for {
		if op.Phase != phase {
			phase = op.Phase
			late.Reset(limit)
			fmt.Fprintf(a.stderr, "%6.2f s  %s\n", a.now().Sub(began).Seconds(), phaseText(op))
		}
		if !op.Active() {
			return op, nil
		}
		select {
		case <-tick.C:
		case <-late.C:
			if !flushing(ctx, c, op) {
				return op, stillIn(op, a.now().Sub(began))
			}
			late.Reset(limit)
			fmt.Fprintf(a.stderr, "%6.2f s  %s: the checkpoint ahead of the stop is still running\n", a.now().Sub(began).Seconds(), op.Phase)
		case <-ctx.Done():
			return op, stillIn(op, a.now().Sub(began))
		}
		now, err := c.Operation(ctx)
		switch {
		case isFinal(err):
			return op, err
		case err == nil && now.ID != op.ID:
			return op, &exitError{ExitUnknown, findOut, fmt.Errorf("%s %s has ended, and another operation took its place", op.Kind, op.ID)}
		case err == nil:
			op = now
		}
	}
}

func stillIn(op core.Operation, after time.Duration) error {
	return &exitError{ExitUnknown, findOut, fmt.Errorf("%s %s is still in phase %s after %s", op.Kind, op.ID, op.Phase, after.Round(time.Second))}
}

// flushing: the operation waits for the checkpoint that comes before all that clients notice.
func flushing(ctx context.Context, c *api.Client, op core.Operation) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if op.Phase != core.PhaseRequested {
		return false
	}
	said, _ := c.Explain(ctx, "") // no answer: it is not known to be running
	return slices.ContainsFunc(said, func(e api.Explanation) bool {
		return slices.ContainsFunc(e.Decision.Reasons, func(r core.Reason) bool { return r.Code == "checkpoint_running" })
	})
}

// isFinal: asking again would give the same error.
func isFinal(err error) bool {
	var p *api.Problem
	return errors.As(err, &p) && p.Status < http.StatusInternalServerError
}

func phaseText(op core.Operation) string {
	switch {
	case op.Phase == core.PhaseHolding:
		return op.Phase + ": the endpoints let no transaction begin"
	case op.Phase == core.PhaseStopping:
		return fmt.Sprintf("%s: %s stops, %s is to take over", op.Phase, op.From, op.To)
	case op.Text != "":
		return op.Phase + ": " + op.Text
	}
	return op.Phase
}
