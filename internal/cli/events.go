package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
)

func (a *app) eventsCommand() *cobra.Command {
	limit, local := 50, false
	cmd := &cobra.Command{
		Use:     "events",
		Example: "  pgherd events --limit 100",
		Short:   "list what happened, newest last",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				e, err := c.Events(ctx, limit, local)
				if err != nil {
					return err
				}
				if len(e.Missing) > 0 && !a.json {
					fmt.Fprintf(a.stderr, "warning: the events of %s are missing: no answer\n", strings.Join(e.Missing, ", "))
				}
				return a.answer(e, func(w io.Writer) { printEvents(w, e) })
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many, at most 2000")
	cmd.Flags().BoolVar(&local, "local", false, "only of this member")
	return cmd
}

func printEvents(w io.Writer, e api.Events) {
	if len(e.Events) == 0 {
		fmt.Fprintln(w, "nothing has happened yet")
		return
	}
	rows := [][]string{{"TIME (UTC)", "MEMBER", "SEVERITY", "EVENT", "TEXT"}}
	for _, ev := range e.Events {
		rows = append(rows, []string{ev.At.UTC().Format("2006-01-02 15:04:05.000"), ev.Member, string(ev.Severity), ev.Code, oneLine(ev.Text)})
	}
	table(w, rows)
}

// oneLine keeps a program's output from breaking the table.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
