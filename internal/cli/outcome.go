package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
)

func (a *app) outcomeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "outcome ID",
		Example: "  pgherd outcome 3f9c0a51d2e4",
		Short:   "say what became of a change, by the id that its answer or its audit entry gave",
		Long: "Every change that is asked for has an id: in the answer's `id` and Location, in its problem's `instance` when nobody knows\n" +
			"whether it took effect, and in its entry in `pgherd events --json`. The exit code is 0 when it is done, planned or under way,\n" +
			"1 when it failed, and 4 when it is not known.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				o, err := c.Outcome(ctx, args[0])
				if err != nil {
					return err
				}
				if err := a.answer(o, func(w io.Writer) { printOutcome(w, o) }); err != nil {
					return err
				}
				return outcomeError(o)
			})
		},
	}
}

func printOutcome(w io.Writer, o api.Outcome) {
	fmt.Fprintf(w, "%s: %s", o.ID, o.State)
	if o.Phase != "" && o.Phase != o.State {
		fmt.Fprintf(w, " (%s)", o.Phase)
	}
	if o.Text != "" {
		fmt.Fprintf(w, ": %s", oneLine(o.Text))
	}
	fmt.Fprintln(w)
	if len(o.Events) > 0 {
		printEvents(w, api.Events{Events: o.Events})
	}
}

// outcomeError gives scripts the exit code that the change's own command would have given.
func outcomeError(o api.Outcome) error {
	switch o.State {
	case api.OutcomeFailed:
		return failed("`pgherd explain` and `pgherd events` say more", "%s failed", o.ID)
	case api.OutcomeUnknown:
		return &exitError{ExitUnknown, findOut, fmt.Errorf("whether %s took effect is not known", o.ID)}
	}
	return nil
}
