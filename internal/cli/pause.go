package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
)

func (a *app) pauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pause",
		Example: "  pgherd pause",
		Short:   "switch the autopilot off: no failover, nothing is started or stopped",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error { return a.accepted(c.Pause(ctx)) })
		},
	}
}
