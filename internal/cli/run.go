package cli

import (
	"errors"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/agent"
	"github.com/pgherd/pgherd/internal/logs"
)

// Run is the agent; tests replace it.
var Run = agent.Run

func (a *app) runCommand() *cobra.Command {
	var detach, debug bool
	cmd := &cobra.Command{
		Use:     "run",
		Example: "  pgherd run --config /etc/pgherd/pgherd.yaml",
		Short:   "run the agent of this member",
		Long:    "It logs to stdout. SIGTERM stops PostgreSQL too (a primary hands over first when it can); SIGUSR2, or --detach-on-exit, leaves it running under the warden, for upgrades.",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.member()
			if err != nil {
				return err
			}
			if debug {
				m.Log.Level = "debug"
			}
			log, err := logs.New(a.stdout, m.Log, m.Name)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			err = Run(ctx, agent.Options{Config: m, ConfigPath: a.config, DetachOnExit: detach, Log: log.Logger, Level: log, Version: version})
			if errors.Is(err, agent.ErrUnfinished) {
				return failed("repeat the command, then start again", "%w", err)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&detach, "detach-on-exit", false, "leave PostgreSQL running when the agent ends")
	cmd.Flags().BoolVar(&debug, "debug", false, "log more; the file's log.level is what it is otherwise")
	return cmd
}
