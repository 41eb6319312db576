package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
)

func (a *app) reinitCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "reinit MEMBER",
		Example: "  pgherd reinit n3",
		Short:   "clone a standby anew from the primary",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				return a.accepted(c.Request(ctx, args[0], core.RequestReinit))
			})
		},
	}
}
