package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/replay"
)

// ReplayAnswer is what `pgherd replay --json` answers.
type ReplayAnswer struct {
	Decisions []replay.Result  `json:"decisions"` // those to be shown
	Members   []replay.Summary `json:"members"`
	Files     []ReplayFile     `json:"files"`
}

// ReplayFile is what was in one file.
type ReplayFile struct {
	Name string `json:"name"`
	replay.Count
}

func (a *app) replayCommand() *cobra.Command {
	all, strict := false, false
	cmd := &cobra.Command{
		Use:   "replay FILE...",
		Short: "make the decisions of a journal again and check them against the invariants",
		Long: "Each decision in the journal of a member (STATE_DIR/journal/journal.jsonl; .1, .2, ... are older) is made again by this version from the same view and memory, " +
			"and the rules that must always hold are checked on what was decided then and on what is decided now. No cluster and no configuration is needed: the file of a bug report will do. " +
			"FILE may be - for standard input. Exit code 1: a rule is broken. Another plan alone is no failure, because a newer version may rightly decide otherwise, unless --strict is given.",
		Example: "  pgherd replay /var/lib/pgherd/journal/journal.jsonl*\n  pgherd replay --all --json journal.jsonl",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			answer, err := a.replay(oldestFirst(args), all)
			if err != nil {
				return err
			}
			if err := a.answer(answer, func(w io.Writer) { printReplay(w, answer) }); err != nil {
				return err
			}
			return replayVerdict(answer.Members, strict)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "show every decision, not only those that differ or break a rule")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 1 also when a plan is another one now")
	return cmd
}

// oldestFirst puts the rotated files of one journal before it, so that journal.jsonl* of a
// shell, which sorts the newest to the front, is read as it was written.
func oldestFirst(names []string) []string {
	sorted := slices.Clone(names)
	first := func(stem string) int {
		return slices.IndexFunc(names, func(n string) bool { s, _ := rotation(n); return s == stem })
	}
	slices.SortStableFunc(sorted, func(a, b string) int {
		stemA, oldA := rotation(a)
		stemB, oldB := rotation(b)
		return cmp.Or(cmp.Compare(first(stemA), first(stemB)), cmp.Compare(oldB, oldA))
	})
	return sorted
}

// rotation splits journal.jsonl.2 into journal.jsonl and 2.
func rotation(name string) (stem string, number int) {
	i := strings.LastIndexByte(name, '.')
	if i > 0 && strings.HasSuffix(name[:i], ".jsonl") {
		if n, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i], n
		}
	}
	return name, 0
}

func (a *app) replay(names []string, all bool) (answer ReplayAnswer, err error) {
	answer.Decisions = []replay.Result{}
	player := replay.New(func(r replay.Result) {
		if all || !r.Same || len(r.Broken) > 0 {
			answer.Decisions = append(answer.Decisions, r)
		}
	})
	for _, name := range names {
		count, err := a.replayFile(player, name)
		if err != nil {
			return answer, err
		}
		answer.Files = append(answer.Files, ReplayFile{name, count})
		if count.Unreadable > 0 {
			fmt.Fprintf(a.stderr, "warning: %s of %s cannot be read (a crash cuts the last one)\n", plural(count.Unreadable, "line"), name)
		}
	}
	answer.Members = player.End()
	return answer, nil
}

func (a *app) replayFile(player *replay.Player, name string) (count replay.Count, err error) {
	const where = "a member's journal is STATE_DIR/journal/journal.jsonl"
	in := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return count, failed(where, "%w", err)
		}
		defer f.Close()
		in = f
	}
	count, err = player.Read(in)
	switch {
	case err != nil:
		return count, failed(where, "%w", err)
	case count.Decisions == 0 && count.Unreadable == 0:
		return count, failed(where, "%s is empty", name)
	case count.Decisions == 0:
		return count, failed(where+"; events.jsonl beside it holds no decisions", "%s is no journal: none of its %s is a decision", name, plural(count.Unreadable, "line"))
	}
	return count, nil
}

func replayVerdict(members []replay.Summary, strict bool) error {
	for _, m := range members {
		if m.Violations > 0 || strict && m.Other > 0 {
			return silent(ExitFailed)
		}
	}
	return nil
}

func printReplay(w io.Writer, answer ReplayAnswer) {
	for _, r := range answer.Decisions {
		printReplayed(w, r)
	}
	for _, m := range answer.Members {
		fmt.Fprintf(w, "%s of %s from %s to %s: %d same, %d other, %s\n", plural(m.Decisions, "decision"), m.Member,
			momentText(m.From), momentText(m.To), m.Same, m.Other, plural(m.Violations, "violation"))
		if m.NoMemory > 0 {
			fmt.Fprintf(w, "%d of them were recorded without the memory that went in: with an empty one they may come out otherwise\n", m.NoMemory)
		}
	}
}

func printReplayed(w io.Writer, r replay.Result) {
	verdict := "same plan"
	if !r.Same {
		verdict = "other plan"
	}
	recorded, decided := r.Texts()
	fmt.Fprintf(w, "%s  %s  %s\n", momentText(r.At), r.Member, verdict)
	rows := [][]string{{"    recorded", recorded}}
	if !r.Same {
		rows = append(rows, []string{"    decided", decided})
	}
	if r.Outcome != "" {
		rows = append(rows, []string{"    failed", oneLine(r.Outcome)})
	}
	for _, b := range r.Broken {
		rows = append(rows, []string{"    broken", fmt.Sprintf("%s (%s)", oneLine(b.String()), brokenBy[b.Of])})
	}
	table(w, rows)
}

var brokenBy = map[string]string{
	replay.OfRecorded: "with the recorded plan",
	replay.OfDecided:  "with the plan decided now",
	replay.OfBoth:     "with either plan",
}

func momentText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
