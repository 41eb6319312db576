package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/spec"
)

func (a *app) logLevelCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "log-level [LEVEL]",
		Example:   "  pgherd log-level\n  pgherd log-level debug",
		Short:     "show or change how much this member's agent logs, until it ends",
		Long:      "LEVEL is " + strings.Join(spec.LogLevels, ", ") + ". `log.level` in pgherd.yaml is what the agent begins with.",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: spec.LogLevels,
		RunE: func(cmd *cobra.Command, args []string) error {
			level := ""
			if len(args) > 0 {
				if level = args[0]; !spec.LogLevel(level) {
					return usage("levels are "+strings.Join(spec.LogLevels, ", "), "%q is no level", level)
				}
			}
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				now, err := c.LogLevel(ctx, level)
				if err != nil {
					return err
				}
				return a.answer(now, func(w io.Writer) { fmt.Fprintln(w, now.Level) })
			})
		},
	}
}
