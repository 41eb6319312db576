package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
)

func (a *app) drainCommand() *cobra.Command {
	timeout, wait := 30*time.Second, time.Duration(0)
	var request api.DrainRequest
	cmd := &cobra.Command{
		Use:     "drain MEMBER",
		Example: "  pgherd drain n2",
		Short:   "take a member out of service before its maintenance",
		Long: "A drained member is given no role: it never takes over, commits do not wait for it, and read-only endpoints send\n" +
			"nobody to it. The primary hands over first, as by `pgherd switchover`. It goes on streaming, so that it is current when it is undrained.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.MaxWaitMS = wait.Milliseconds()
			return a.drain(cmd, args[0], request, timeout)
		},
	}
	cmd.Flags().DurationVar(&wait, "max-wait", core.HoldWait, "of the primary: how long open transactions behind the endpoints are waited for")
	cmd.Flags().BoolVar(&request.Force, "force", false, "of the primary: terminate what is still open after --max-wait")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "stop waiting for the handover after this")
	return cmd
}

// drain follows the handover that it begins when the member is the primary.
func (a *app) drain(cmd *cobra.Command, member string, request api.DrainRequest, timeout time.Duration) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	began := a.now()
	ctx, cancel := context.WithTimeout(cmd.Context(), callTimeout)
	defer cancel()
	answer, err := c.Drain(ctx, member, request)
	if err != nil {
		return mutation(err)
	}
	if answer.Kind == "" && !begun(ctx, c, answer.ID) {
		return a.accepted(answer, nil)
	}
	op, err := a.follow(cmd.Context(), c, core.Operation{ID: answer.ID, Kind: core.OpSwitchover, Phase: core.PhaseRequested}, timeout)
	if err != nil {
		return err
	}
	took := a.now().Sub(began)
	if op.Phase == core.PhaseAborted {
		fmt.Fprintf(a.stderr, "warning: %s is drained, and leads still: repeat with a longer --max-wait or --force, or `pgherd undrain %s`\n", member, member)
	} else {
		op = a.awaitCertificate(cmd.Context(), c, op)
	}
	return a.operationEnded(op, took)
}

// begun says that the id is that of an operation: an agent of before said no more of it.
func begun(ctx context.Context, c *api.Client, id string) bool {
	now, err := c.Operation(ctx)
	return err == nil && now.ID == id
}

func (a *app) undrainCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "undrain MEMBER",
		Example: "  pgherd undrain n2",
		Short:   "put a drained member back into service",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error { return a.accepted(c.Undrain(ctx, args[0])) })
		},
	}
}

func (a *app) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel",
		Example: "  pgherd cancel",
		Short:   "take back a switchover or restart that is planned with --at",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error { return a.accepted(c.Cancel(ctx)) })
		},
	}
}
