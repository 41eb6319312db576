package cli

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

// Set with -ldflags "-X github.com/pgherd/pgherd/internal/cli.version=…".
var version, commit, date = "dev", "", ""

// VersionInfo is what `pgherd version --json` answers.
type VersionInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"`
	Go      string `json:"go"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Example: "  pgherd version --json",
		Short:   "print the version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := VersionInfo{version, commit, date, runtime.Version()}
			return a.answer(v, func(w io.Writer) {
				fmt.Fprintf(w, "pgherd %s", v.Version)
				for _, more := range []string{v.Commit, v.Date, v.Go} {
					if more != "" {
						fmt.Fprintf(w, ", %s", more)
					}
				}
				fmt.Fprintln(w)
			})
		},
	}
}
