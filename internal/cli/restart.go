package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
)

func (a *app) restartCommand() *cobra.Command {
	timeout, pending := 10*time.Minute, false
	request, wait := api.OperationRequest{Kind: core.OpRestart}, time.Duration(0)
	cmd := &cobra.Command{
		Use:     "restart [MEMBER...]",
		Example: "  pgherd restart --rolling\n  pgherd restart n2",
		Short:   "restart PostgreSQL, one member after the other, the primary last",
		Long:    "Without members it restarts those that wait for a restart to take up changed settings.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if pending && len(args) > 0 {
				return usage("", "either members or --pending")
			}
			request.Queue, request.Pending, request.TimeoutMS, request.MaxWaitMS = args, len(args) == 0, timeout.Milliseconds(), wait.Milliseconds()
			return a.operate(cmd, request, timeout)
		},
	}
	cmd.Flags().BoolVar(&pending, "pending", false, "those that need it (the default)")
	cmd.Flags().BoolVar(&request.Rolling, "rolling", false, "the primary hands over instead of restarting in place: clients behind the endpoints are only held")
	cmd.Flags().DurationVar(&wait, "max-wait", 0, "with --rolling: how long the handover waits for open transactions behind the endpoints (default 2s)")
	cmd.Flags().BoolVar(&request.Force, "force", false, "with --rolling: the handover terminates what is still open after --max-wait")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&request.At, "at", "", "begin at this time (RFC 3339); `pgherd cancel` takes it back")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "stop waiting after this")
	return cmd
}
