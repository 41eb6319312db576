package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
)

func (a *app) switchoverCommand() *cobra.Command {
	timeout := 30 * time.Second
	cmd := &cobra.Command{
		Use:   "switchover [MEMBER]",
		Short: "make a standby the primary, without losing anything",
		Long:  "Without MEMBER the best standby takes over. The old primary follows it as a standby.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := api.OperationRequest{Kind: core.OpSwitchover, TimeoutMS: timeout.Milliseconds()}
			if len(args) > 0 {
				request.To = args[0]
			}
			return a.operate(cmd, request, timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "take it back when a phase takes longer")
	return cmd
}
