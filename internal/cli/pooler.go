package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/logs"
	"github.com/pgherd/pgherd/internal/poolerhost"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/warden"
)

const poolerConfigDefault = "/etc/pgherd/pooler.yaml"

func (a *app) poolerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "pooler", Short: "a host that holds no data and runs the endpoints for applications", Args: cobra.NoArgs, RunE: needsSubcommand}
	cmd.AddCommand(a.poolerJoinCommand(), a.poolerRunCommand(), a.poolerAdmitCommand(), a.poolerRemoveCommand())
	return cmd
}

// poolerConfig is the path of such a host's file: its default is another than a member's.
func (a *app) poolerConfig() string {
	if a.config == configDefault {
		return poolerConfigDefault
	}
	return a.config
}

func (a *app) poolerRunCommand() *cobra.Command {
	var detach, debug bool
	cmd := &cobra.Command{
		Use:     "run",
		Example: "  pgherd pooler run --config /etc/pgherd/pooler.yaml",
		Short:   "run the endpoints of this host",
		Long:    "It logs to stdout. SIGTERM ends the endpoints, too; SIGUSR2, or --detach-on-exit, leaves them running, for upgrades: clients do not notice. The file is " + poolerConfigDefault + " if --config names no other.",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := spec.LoadPoolerHost(a.poolerConfig())
			if os.IsPermission(err) {
				return failed("run the command as root or as the user that was given to the join", "%w", err)
			}
			if err != nil {
				return err
			}
			if debug {
				h.Log.Level = "debug"
			}
			log, err := logs.New(a.stdout, h.Log, h.Name)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			err = poolerhost.Run(ctx, poolerhost.Options{Config: h, Now: warden.BootNow, DetachOnExit: detach, Log: log.Logger})
			if errors.Is(err, poolerhost.ErrRemoved) {
				return refused("move "+h.StateDir+" away and join again with a new token, under another name", "%w", err)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&detach, "detach-on-exit", false, "leave the endpoints running when this process ends")
	cmd.Flags().BoolVar(&debug, "debug", false, "log more")
	return cmd
}

func (a *app) poolerAdmitCommand() *cobra.Command {
	address := ""
	cmd := &cobra.Command{
		Use:     "admit NAME",
		Short:   "take in again a host that a rebuilt store does not know; run it on a member",
		Long:    "It is for a host that joined after the copy from which `pgherd recover` rebuilt the store: such a host has kept its endpoints as they were, and says so in its log. Its certificate is good still, so that it goes on within seconds, without a client noticing.",
		Example: "  pgherd pooler admit app1 --address 10.0.0.9",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if address == "" {
				return usage("it is `address` in the host's pooler.yaml", "--address is missing")
			}
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				return a.accepted(c.AdmitPooler(ctx, args[0], address))
			})
		},
	}
	cmd.Flags().StringVar(&address, "address", "", "host name or IP by which clients reach it (required)")
	return cmd
}

func (a *app) poolerRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Example: "  pgherd pooler remove app1",
		Short:   "remove such a host for good; run it on a member",
		Long:    "It ends the host's endpoints. Its certificate may be good for 90 days, and is for that name: until then nobody else gets the name.",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				return a.accepted(c.RemovePooler(ctx, args[0]))
			})
		},
	}
}
