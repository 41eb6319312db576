package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/whatif"
)

func (a *app) whatIf(cmd *cobra.Command, fault string, args []string) error {
	if len(args) > 0 {
		return usage("", "explain --if is about the whole cluster: it takes no member")
	}
	return a.call(cmd, func(ctx context.Context, c *api.Client) error {
		list, err := c.WhatIf(ctx, fault)
		if err != nil {
			return err
		}
		return a.answer(list, func(w io.Writer) {
			if fault == api.EachFault {
				printEach(w, list)
				return
			}
			for _, one := range list {
				printWhatIf(w, one)
			}
		})
	})
}

func printEach(w io.Writer, list []whatif.Answer) {
	rows := [][]string{{"IF", "LEADS THEN", "WRITES STOP", "LOST", "COULD BE LOST NEXT"}}
	for _, a := range list {
		rows = append(rows, []string{a.If, orDash(a.Leader), stopText(a), lossText(a), orDash(strings.Join(a.Bears, ", "))})
	}
	table(w, rows)
}

func printWhatIf(w io.Writer, a whatif.Answer) {
	fmt.Fprintf(w, "if %s\n    %s\n", a.If, oneLine(a.Text))
	rows := [][]string{
		{"    writes stop", stopText(a)},
		{"    lost", a.Loss},
		{"    commits kept on", orDash(strings.Join(a.KeptOn, ", "))},
	}
	if a.Leader != "" && len(a.Bears)+len(a.Breaks) > 0 {
		rows = append(rows, []string{"    could be lost next", "one of " + orDash(strings.Join(a.Bears, ", "))})
		if len(a.Bears) == 0 {
			rows[len(rows)-1][1] = "nobody: bring one back first"
		}
	}
	for _, b := range a.Reasons {
		rows = append(rows, []string{"    " + b.Member, oneLine(b.Reason.Text)})
	}
	table(w, rows)
}

func stopText(a whatif.Answer) string {
	switch {
	case a.StopMax < 0:
		return "until somebody acts"
	case a.StopMax == 0:
		return "no"
	case a.StopMin == 0:
		return fmt.Sprintf("up to %.0f s", a.StopMax)
	}
	return fmt.Sprintf("%.0f to %.0f s", a.StopMin, a.StopMax)
}

func lossText(a whatif.Answer) string {
	if a.LossMax == 0 {
		return "nothing"
	}
	return "up to " + bytesText(a.LossMax)
}
