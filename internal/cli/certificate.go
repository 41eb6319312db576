package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
)

const certificateWait = 10 * time.Second // the members' own bound for its parts

// awaitCertificate asks until the certificate is whole. The switchover is done in any case, so an
// error only means that some of it is missing.
func (a *app) awaitCertificate(ctx context.Context, c *api.Client, op core.Operation) core.Operation {
	ctx, cancel := context.WithTimeout(ctx, certificateWait)
	defer cancel()
	tick := time.NewTicker(operationPoll)
	defer tick.Stop()
	for !op.Certificate.Whole {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return op
		}
		now, err := c.Operation(ctx)
		if err == nil && now.ID != op.ID {
			return op
		}
		if err == nil {
			op = now
		}
	}
	return op
}

// printCertificate says who, why, where the old history ended and what the new primary had of it.
func printCertificate(w io.Writer, op core.Operation) {
	c := op.Certificate
	fmt.Fprintf(w, "certificate of %s, asked for by %s%s\n", op.ID, op.By, because(op.Reason))
	if c.Shutdown == 0 {
		fmt.Fprintf(w, "  %s has not told where it stopped; the lease was handed over on the proof of it\n", op.From)
	} else {
		fmt.Fprintf(w, "  %s stopped at %s (shutdown checkpoint); %s had received %s\n", op.From, c.Shutdown, op.To, c.Received)
	}
	fmt.Fprintf(w, "  ahead of it %.0f ms; hold %.0f ms, stop and proof %.0f ms, promotion %.0f ms\n", c.AheadMS, c.HoldMS, c.StopMS, c.PromoteMS)
	for _, p := range c.Poolers {
		fmt.Fprintf(w, "  endpoint %s: %d clients held for %.0f ms (%.0f ms until no transaction was open), %d dropped\n", p.Name, p.Clients, p.HeldMS, p.DrainMS, p.Errors)
	}
	if len(c.Unheld) > 0 {
		fmt.Fprintf(w, "  not held: the clients of %s, which were silent, or came later\n", strings.Join(c.Unheld, ", "))
	}
	if c.Proves() {
		fmt.Fprintln(w, "  commits lost: 0")
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + oneLine(reason)
}

// dryRun shows each check; its exit code says whether a switchover would begin.
func (a *app) dryRun(op core.Operation, result OperationResult) error {
	err := a.answer(result, func(w io.Writer) {
		rows := [][]string{{"MEMBER", "CHECK", "RESULT", "TEXT"}}
		for _, c := range op.Checks {
			verdict := "ok"
			if !c.OK {
				verdict = "no"
			}
			rows = append(rows, []string{c.Member, c.Name, verdict, c.Text})
		}
		table(w, rows)
	})
	if err == nil && op.Phase == core.PhaseAborted {
		return refused("the checks say what is missing", "no switchover is possible now: %s", op.Text)
	}
	if err == nil && !a.json {
		fmt.Fprintln(a.stdout, strings.TrimSpace(op.Text))
	}
	return err
}
