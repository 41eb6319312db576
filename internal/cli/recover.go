package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/rebuild"
)

const (
	recoverCall = 50 * time.Second // members are asked, and stop their share of the old store
	recoverPoll = 200 * time.Millisecond
)

// RecoverResult is what recover answers with --json.
type RecoverResult struct {
	rebuild.Verdict
	Rebuilt bool   `json:"rebuilt"`
	Primary string `json:"primary,omitempty"` // who leads now
}

func (a *app) recoverCommand() *cobra.Command {
	q, timeout := rebuild.Question{}, time.Minute
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "rebuild a lost store from what the members have",
		Long: "Without --confirm it changes nothing: it shows what each member has, whether an acknowledged commit can be missing, and what the command would be. " +
			"With it, this member founds the store anew from the newest records that any member has kept; the others leave the old one and join. " +
			"It is for a store that cannot come back: more than half of its voters have lost their share, or their machines are gone for good.",
		Example: "  pgherd recover\n  pgherd recover --confirm main\n  pgherd recover --confirm main --destroyed n2,n3 --accept-loss",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.recover(cmd.Context(), q, timeout) },
	}
	f := cmd.Flags()
	f.StringVar(&q.Confirm, "confirm", "", "the `CLUSTER`'s name: rebuild the store")
	f.StringSliceVar(&q.Destroyed, "destroyed", nil, "`MEMBERS` whose machines are gone and can never come back")
	f.BoolVar(&q.AcceptLoss, "accept-loss", false, "accept the loss that is stated without it")
	f.StringVar(&q.Leader, "leader", "", "the `MEMBER` that is to lead (default: the last leader, else the usual election, or the furthest when commits may be missing)")
	f.DurationVar(&timeout, "timeout", timeout, "stop waiting for a primary after this")
	return cmd
}

func (a *app) recover(ctx context.Context, q rebuild.Question, timeout time.Duration) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	callCtx, cancel := context.WithTimeout(ctx, recoverCall)
	defer cancel()
	v, err := c.Recover(callCtx, q)
	if err != nil {
		return mutation(err)
	}
	result := RecoverResult{Verdict: v}
	if q.Confirm != "" && v.Refusal == nil {
		if !a.json {
			printVerdict(a.stdout, v, q)
		}
		result.Rebuilt = true
		if result.Primary, err = a.followRecovery(ctx, c, v, timeout); err != nil {
			return err
		}
		return a.answer(result, func(w io.Writer) { fmt.Fprintf(w, "%s leads\n", result.Primary) })
	}
	if err := a.answer(result, func(w io.Writer) { printVerdict(w, v, q) }); err != nil {
		return err
	}
	if r := v.Refusal; r != nil {
		return refused(r.Hint, "%s", r.Text)
	}
	return nil
}

func printVerdict(w io.Writer, v rebuild.Verdict, q rebuild.Question) {
	if len(v.Rows) > 0 {
		printMembersOf(w, v)
	}
	if v.Source != "" {
		fmt.Fprintf(w, "newest records   of %s: %s\n", v.Source, v.LeaseText)
	}
	if v.Furthest != "" {
		fmt.Fprintf(w, "furthest data    of %s\n", v.Furthest)
	}
	if v.Evidence == "" {
		return
	}
	if v.Enough {
		fmt.Fprintf(w, "nothing is lost  %s\n", v.Evidence)
	} else {
		fmt.Fprintf(w, "may be lost      %s\n", v.Evidence)
	}
	if len(q.Destroyed) > 0 {
		fmt.Fprintf(w, "no members       %s, from now on; a new machine joins as usual\n", strings.Join(q.Destroyed, ", "))
	}
	if len(v.Poolers) > 0 {
		fmt.Fprintf(w, "pooling hosts    %s: they go on; `pgherd pooler remove` those that were removed after these records, `pgherd pooler admit` those that joined after them\n", strings.Join(v.Poolers, ", "))
	}
	leads := "by the usual election"
	if v.Leader != "" {
		leads = v.Leader + ", and nobody else"
	}
	fmt.Fprintf(w, "who leads        %s\nnew store        generation %d, founded here; terms from %d, timelines from %d\n", leads, v.Generation, v.Term, v.Timeline)
	if q.Confirm == "" && v.Refusal == nil {
		fmt.Fprintf(w, "\nnothing was changed; to rebuild the store: %s\n", confirmation(v, q))
	}
}

// confirmation is the command that would do it.
func confirmation(v rebuild.Verdict, q rebuild.Question) string {
	parts := []string{"pgherd recover --confirm", v.Cluster}
	if len(q.Destroyed) > 0 {
		parts = append(parts, "--destroyed", strings.Join(q.Destroyed, ","))
	}
	if q.Leader != "" {
		parts = append(parts, "--leader", q.Leader)
	}
	if !v.Enough {
		parts = append(parts, "--accept-loss")
	}
	return strings.Join(parts, " ")
}

func printMembersOf(w io.Writer, v rebuild.Verdict) {
	rows := [][]string{{"MEMBER", "STORE", "RECORDS", "TERM", "DATA", "POSITION", "POSTGRESQL", "SYSTEM"}}
	for _, r := range v.Rows {
		if r.State != "answers" {
			rows = append(rows, []string{r.Name, r.State, "-", "-", "-", "-", "-", "-"})
			continue
		}
		position, server := "-", orDash(r.Server)
		if r.Position.LSN != 0 {
			position = r.Position.String()
		}
		if r.Control != "" {
			server += " (" + r.Control + ")"
		}
		rows = append(rows, []string{r.Name, string(r.Share), orDash(r.Records), fmt.Sprint(r.Term), r.Data, position, server, orDash(r.SystemID)})
	}
	table(w, rows)
	fmt.Fprintln(w)
}

// followRecovery waits until the new store answers and somebody leads. The agent begins anew
// meanwhile, so that it does not answer for a moment.
func (a *app) followRecovery(ctx context.Context, c *api.Client, v rebuild.Verdict, timeout time.Duration) (primary string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began, rebuilt := a.now(), false
	tick := time.NewTicker(recoverPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			if rebuilt {
				return "", failed("`pgherd explain` says for each member why it does not lead", "the store is rebuilt, but nobody leads after %s", timeout)
			}
			return "", &exitError{ExitUnknown, "`pgherd events` shows whether the store was rebuilt", fmt.Errorf("the new store does not answer after %s", timeout)}
		}
		self, err := c.Member(ctx)
		if err != nil || self.Generation < v.Generation {
			continue
		}
		if !rebuilt {
			rebuilt = true
			fmt.Fprintf(a.stderr, "%6.2f s  the store is rebuilt: generation %d\n", a.now().Sub(began).Seconds(), v.Generation)
		}
		s, err := c.Status(ctx)
		if err != nil {
			continue
		}
		for _, m := range s.Members {
			if m.Role == api.RolePrimary && m.State == api.StateRunning {
				return m.Name, nil
			}
		}
	}
}
