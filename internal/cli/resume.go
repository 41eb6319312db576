package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
)

func (a *app) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "resume",
		Example: "  pgherd resume",
		Short:   "switch the autopilot on again",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error { return a.accepted(c.Resume(ctx)) })
		},
	}
}
