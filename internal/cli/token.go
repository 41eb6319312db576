package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "make join tokens", Args: cobra.NoArgs, RunE: needsSubcommand}
	cmd.AddCommand(a.tokenCreateCommand())
	return cmd
}

func needsSubcommand(cmd *cobra.Command, _ []string) error {
	return usage("`"+cmd.CommandPath()+" --help` lists them", "%s needs a subcommand", cmd.CommandPath())
}

func (a *app) tokenCreateCommand() *cobra.Command {
	lifetime, witness, pooler := time.Hour, false, false
	cmd := &cobra.Command{
		Use:     "create",
		Example: "  pgherd token create > /root/token",
		Short:   "print a one-time token for `pgherd join`, or `pgherd pooler join`",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if witness && pooler {
				return usage("", "either --witness or --pooler")
			}
			return a.call(cmd, func(ctx context.Context, c *api.Client) (err error) {
				var t api.TokenAnswer
				if pooler {
					t, err = c.PoolerToken(ctx, lifetime)
				} else {
					t, err = c.Token(ctx, lifetime, witness)
				}
				if err != nil {
					return mutation(err)
				}
				return a.printToken(t, pooler)
			})
		},
	}
	cmd.Flags().DurationVar(&lifetime, "lifetime", lifetime, "how long it can be used, at most 168h")
	cmd.Flags().BoolVar(&witness, "witness", false, "good for a witness only")
	cmd.Flags().BoolVar(&pooler, "pooler", false, "for a host that holds no data and runs the endpoints only: `pgherd pooler join`")
	return cmd
}

// printToken: stdout holds the token alone, so that it can go to a file as it is.
func (a *app) printToken(t api.TokenAnswer, pooler bool) error {
	join := "join"
	if pooler {
		join = "pooler join"
	}
	if !a.json {
		fmt.Fprintf(a.stderr, "good for one join until %s; on the new server:\n  pgherd %s %s --token-file FILE --name NAME --address ADDRESS\n", t.Expires, join, t.Address)
	}
	return a.answer(t, func(w io.Writer) { fmt.Fprintln(w, t.Token) })
}
