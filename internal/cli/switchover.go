package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
)

func (a *app) switchoverCommand() *cobra.Command {
	timeout, wait := 30*time.Second, time.Duration(0)
	request := api.OperationRequest{Kind: core.OpSwitchover}
	cmd := &cobra.Command{
		Use:   "switchover [MEMBER]",
		Short: "make a standby the primary, without losing anything",
		Long: "Without MEMBER the best standby takes over. The old primary follows it as a standby. Clients behind the\n" +
			"endpoints are held meanwhile: none fails. A transaction that is still open after --max-wait ends the\n" +
			"attempt, or is terminated with --force. The certificate says what was proven.",
		Example: "  pgherd switchover --dry-run\n  pgherd switchover n2 --max-wait 5s\n  pgherd switchover --at 2026-12-01T03:00:00Z",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.TimeoutMS, request.MaxWaitMS = timeout.Milliseconds(), wait.Milliseconds()
			if len(args) > 0 {
				request.To = args[0]
			}
			return a.operate(cmd, request, timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "take it back when a phase takes longer")
	cmd.Flags().DurationVar(&wait, "max-wait", core.HoldWait, "how long open transactions behind the endpoints are waited for")
	cmd.Flags().BoolVar(&request.Force, "force", false, "terminate what is still open after --max-wait")
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "only check, and show each check")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record: it stands in the certificate")
	cmd.Flags().StringVar(&request.At, "at", "", "begin at this time (RFC 3339); `pgherd cancel` takes it back")
	return cmd
}
