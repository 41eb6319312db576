package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
)

func (a *app) explainCommand() *cobra.Command {
	fault := ""
	cmd := &cobra.Command{
		Use:   "explain [MEMBER]",
		Short: "show each member's last decision, with every reason for what it did and did not do",
		Long: "With --if it says what would happen now if something failed: who would take over or why nobody, for how long writes would stop, and what could be lost. " +
			"The decisions are the autopilot's own, made on what is so at this moment; nothing is changed.\n\n" +
			"FAULT is MEMBER=down (its machine), MEMBER=postgres (its PostgreSQL), MEMBER=cut (it hears nobody), A-B=cut (a link), store=down, several of them with commas, or each: every single one.",
		Example: "  pgherd explain n2\n  pgherd explain --if n1=down\n  pgherd explain --if n2=down,n1=postgres\n  pgherd explain --if each",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if fault != "" {
				return a.whatIf(cmd, fault, args)
			}
			only := ""
			if len(args) > 0 {
				only = args[0]
			}
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				list, err := c.Explain(ctx, only)
				if err != nil {
					return err
				}
				return a.answer(list, func(w io.Writer) { printExplanations(w, list, a.now()) })
			})
		},
	}
	cmd.Flags().StringVar(&fault, "if", "", "say what would happen if `FAULT` came now, and change nothing")
	return cmd
}

func printExplanations(w io.Writer, list []api.Explanation, now time.Time) {
	for i, e := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		printExplanation(w, e, now)
	}
}

func printExplanation(w io.Writer, e api.Explanation, now time.Time) {
	fmt.Fprintf(w, "%s  %s, %s\n", e.Member, e.Role, e.State)
	d := e.Decision
	if d.At == "" {
		fmt.Fprintln(w, "    it does not answer: what it decided last is not known here")
		return
	}
	fmt.Fprintf(w, "    decided %s\n", decidedText(d.At, now))
	rows := [][]string{}
	for _, s := range d.Steps {
		rows = append(rows, []string{"    did", s.Step, oneLine(s.Why.Text), "(" + string(s.Why.Code) + ")"})
	}
	if d.Failed != "" {
		step, text, _ := strings.Cut(d.Failed, ": ")
		rows = append(rows, []string{"    failed", step, oneLine(text), ""})
	}
	for _, r := range d.Reasons {
		rows = append(rows, []string{"    because", string(r.Code), oneLine(r.Text), ""})
	}
	for _, c := range d.Conditions {
		rows = append(rows, []string{"    " + string(c.Severity), string(c.Code), oneLine(c.Text), ""})
	}
	if len(rows) == 0 {
		rows = [][]string{{"    nothing to do: all is as it should be"}}
	}
	table(w, rows)
}

func decidedText(at string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return at
	}
	return fmt.Sprintf("%s ago, at %s", max(now.Sub(t), 0).Round(100*time.Millisecond), t.UTC().Format("15:04:05.000 UTC"))
}
