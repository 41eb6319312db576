package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
)

func (a *app) failoverCommand() *cobra.Command {
	timeout, force := 30*time.Second, false
	cmd := &cobra.Command{
		Use:     "failover MEMBER",
		Example: "  pgherd failover n2\n  pgherd failover n2 --force",
		Short:   "make a member the primary by hand, when nobody leads",
		Long:    "Failover happens by itself. This is for the case that no member can prove to have every acknowledged commit (`pgherd explain`): --force accepts the loss that is stated without it.",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := api.OperationRequest{Kind: core.OpFailover, To: args[0], Force: force, TimeoutMS: timeout.Milliseconds()}
			return a.operate(cmd, request, timeout)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "accept the loss that is stated without it")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "stop waiting after this")
	return cmd
}
