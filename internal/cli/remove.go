package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
)

func (a *app) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove MEMBER",
		Example: "  pgherd remove n3",
		Short:   "remove a member for good: its record and its vote",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				return a.accepted(c.Remove(ctx, args[0]))
			})
		},
	}
}
