package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
)

func (a *app) restartCommand() *cobra.Command {
	timeout, pending := 10*time.Minute, false
	rolling, at := false, ""
	cmd := &cobra.Command{
		Use:     "restart [MEMBER...]",
		Example: "  pgherd restart --rolling\n  pgherd restart n2",
		Short:   "restart PostgreSQL, one member after the other, the primary last",
		Long:    "Without members it restarts those that wait for a restart to take up changed settings.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if pending && len(args) > 0 {
				return usage("", "either members or --pending")
			}
			request := api.OperationRequest{Kind: core.OpRestart, Queue: args, Pending: len(args) == 0, TimeoutMS: timeout.Milliseconds(), Rolling: rolling, At: at}
			return a.operate(cmd, request, timeout)
		},
	}
	cmd.Flags().BoolVar(&pending, "pending", false, "those that need it (the default)")
	cmd.Flags().BoolVar(&rolling, "rolling", false, "the primary hands over instead of restarting in place: clients behind the endpoints are only held")
	cmd.Flags().StringVar(&at, "at", "", "begin at this time (RFC 3339); `pgherd cancel` takes it back")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "stop waiting after this")
	return cmd
}
