package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/forks"
)

func (a *app) forksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "forks [MEMBER]",
		Example: "  pgherd forks\n  pgherd forks n1",
		Short:   "list what members had that the cluster's history does not have",
		Long: "Before a member is rewound or cloned, WAL that only it has is saved with a summary; a data directory is set aside before a clone.\n" +
			"The spec's forks.keep, forks.max_bytes and forks.aside say for how long they are kept.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				f, err := c.Forks(ctx, strings.Join(args, ""))
				if err != nil {
					return err
				}
				if len(f.Missing) > 0 && !a.json {
					fmt.Fprintf(a.stderr, "warning: what %s keeps is missing: no answer\n", strings.Join(f.Missing, ", "))
				}
				return a.answer(f, func(w io.Writer) { printForks(w, f) })
			})
		},
	}
	cmd.AddCommand(a.forksShowCommand(), a.forksRemoveCommand())
	return cmd
}

func (a *app) forksShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show MEMBER/ID",
		Example: "  pgherd forks show n1/20261128T101500Z-tl4",
		Short:   "show one fork: transactions, relations, files",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ofFork(cmd, args[0], func(ctx context.Context, c *api.Client, member, id string) error {
				d, err := c.Fork(ctx, member, id)
				if err != nil {
					return err
				}
				return a.answer(d, func(w io.Writer) { printFork(w, d) })
			})
		},
	}
}

func (a *app) forksRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove MEMBER/ID",
		Example: "  pgherd forks remove n1/20261128T101500Z-tl4",
		Short:   "delete one fork, or a data directory that was set aside, for good",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ofFork(cmd, args[0], func(ctx context.Context, c *api.Client, member, id string) error {
				return a.accepted(c.RemoveFork(ctx, member, id))
			})
		},
	}
}

func (a *app) ofFork(cmd *cobra.Command, name string, f func(ctx context.Context, c *api.Client, member, id string) error) error {
	member, id, ok := strings.Cut(name, "/")
	if !ok || member == "" || id == "" {
		return usage("`pgherd forks` lists them", "%q: want MEMBER/ID", name)
	}
	return a.call(cmd, func(ctx context.Context, c *api.Client) error { return f(ctx, c, member, id) })
}

func printForks(w io.Writer, f api.Forks) {
	if len(f.Forks) == 0 {
		fmt.Fprintln(w, "nothing is kept: no member had anything to save that the cluster's history does not have, or it is deleted by now")
		return
	}
	rows := [][]string{{"ID", "KIND", "FROM", "TO", "COMMITTED", "ON DISK", "TABLES"}}
	for _, e := range f.Forks {
		row := []string{e.ID, e.Kind, "-", "-", "-", bytesText(e.DiskBytes), "-"}
		if e.Kind == api.ForkWAL {
			row[2], row[3], row[4], row[6] = positionText(e.From.LSN == 0, e.From.String()), e.To.String(), strconv.Itoa(e.Committed), tablesText(e)
			if !e.Complete {
				row[1] += ", not complete"
			}
		}
		rows = append(rows, row)
	}
	table(w, rows)
}

func positionText(unknown bool, text string) string {
	if unknown {
		return "?"
	}
	return text
}

func tablesText(e api.ForkEntry) string {
	switch {
	case len(e.Tables) > 0:
		return strings.Join(e.Tables, ", ")
	case !e.Named:
		return "not looked up yet"
	}
	return "none"
}

const forkRowsMax = 40 // of a list for people; --json has all

func printFork(w io.Writer, d api.ForkDetail) {
	fmt.Fprintf(w, "%s, %s, saved %s\nin %s on %s, %s\n", d.ID, d.Kind, d.SavedAt.UTC().Format("2006-01-02 15:04:05 UTC"), d.Path, d.Member, bytesText(d.DiskBytes))
	if d.Summary == nil {
		return
	}
	s := d.Summary
	fmt.Fprintf(w, "\n%s\n", s.Text())
	fmt.Fprintf(w, "\n%s, %s\n", plural(s.Committed, "committed transaction"), plural(s.Aborted, "aborted one"))
	rows := [][]string{{"XID", "AT", "END"}}
	for _, t := range s.Transactions {
		rows = append(rows, []string{strconv.FormatUint(uint64(t.XID), 10), t.At, map[bool]string{true: "aborted", false: "committed"}[t.Aborted]})
	}
	limited(w, rows, s.Committed+s.Aborted)
	fmt.Fprintf(w, "\n%s\n", plural(len(s.Relations), "relation"))
	rows = [][]string{{"RELATION", "KIND", "OF", "RECORDS", "FILE"}}
	for _, r := range s.Relations {
		rows = append(rows, []string{relationText(s, r), orDash(r.Kind), orDash(r.Of), strconv.Itoa(r.Records), r.Place()})
	}
	limited(w, rows, len(s.Relations))
	fmt.Fprintf(w, "\nto read its WAL on %s: pg_waldump -p %s -t %d -s %s\n", s.Member, d.Path, max(s.From.Timeline, 1), s.From.LSN)
}

func relationText(s *forks.Summary, r forks.Relation) string {
	switch {
	case r.Name != "":
		return r.Name
	case r.Created:
		return "(made in the fork)"
	case !s.Named:
		return "(not looked up yet)"
	}
	return "(not there any more)"
}

func limited(w io.Writer, rows [][]string, all int) {
	if len(rows) == 1 {
		return
	}
	shown := rows[:min(len(rows), forkRowsMax+1)]
	table(w, shown)
	if n := all - (len(shown) - 1); n > 0 {
		fmt.Fprintf(w, "... and %d more; --json has them\n", n)
	}
}
