package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Commands is the tree of all commands, for what is made of it when packages are built: man pages and completions.
// None of them is meant to be run.
func Commands() *cobra.Command {
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	root := a.root()
	_ = root.PersistentFlags().Lookup("config").Value.Set(configDefault) // not what this process was given
	root.PersistentFlags().Lookup("config").DefValue = configDefault
	return root
}

// ExitCodes gives each exit code with its meaning, in order.
func ExitCodes() []string {
	var lines []string
	for code, text := range []string{
		ExitDone:    "done",
		ExitFailed:  "failed; standard error says why, and what to do",
		ExitUsage:   "wrong usage; nothing was sent",
		ExitRefused: "refused by the cluster or by this machine; nothing was changed",
		ExitUnknown: "the outcome is unknown: the answer did not come in time; " + strings.ReplaceAll(findOut, "`", ""),
	} {
		lines = append(lines, fmt.Sprintf("%d %s", code, text))
	}
	return lines
}
