package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/spec"
)

func (a *app) accessCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "access", Short: "let people into the dashboard and the API", Args: cobra.NoArgs, RunE: needsSubcommand}
	cmd.AddCommand(a.accessCreateCommand(), a.accessListCommand(), a.accessRevokeCommand())
	return cmd
}

func (a *app) accessCreateCommand() *cobra.Command {
	role, lifetime := string(api.RoleViewer), 12*time.Hour
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "print an access token for the dashboard and the API of every member",
		Long: "A viewer looks. An operator also switches over, restarts, reinits, drains, pauses. An admin also takes stated losses\n" +
			"(failover, --force), changes the spec and removes members. No token makes tokens.",
		Example: "  pgherd access create maria --role operator --lifetime 12h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkName(args[0]); err != nil {
				return err
			}
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				t, err := c.CreateAccess(ctx, api.AccessRequest{Name: args[0], Role: api.Role(role), Lifetime: spec.Duration(lifetime)})
				if err != nil {
					return mutation(err)
				}
				if !a.json { // stdout holds the token alone, so that it can go to a file as it is
					fmt.Fprintf(a.stderr, "%s is %s until %s; the dashboard: %s\n", t.Name, t.Role, t.Expires.Format(time.RFC3339), t.URL)
				}
				return a.answer(t, func(w io.Writer) { fmt.Fprintln(w, t.Token) })
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", role, "viewer, operator or admin")
	cmd.Flags().DurationVar(&lifetime, "lifetime", lifetime, "how long it is good, at most 8760h")
	return cmd
}

// checkName refuses what the API would, without asking it.
func checkName(name string) error {
	if err := spec.CheckName(name); err != nil {
		return usage("1 to 32 of a-z 0-9 -, beginning with a letter", "%w", err)
	}
	return nil
}

func (a *app) accessListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Example: "  pgherd access list",
		Short:   "show the access tokens that are good now",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				list, err := c.ListAccess(ctx)
				if err != nil {
					return err
				}
				return a.answer(list, func(w io.Writer) {
					rows := [][]string{{"ID", "NAME", "ROLE", "UNTIL"}}
					for _, t := range list {
						rows = append(rows, []string{t.ID, t.Name, string(t.Role), t.Expires.Format(time.RFC3339)})
					}
					table(w, rows)
				})
			})
		},
	}
}

func (a *app) accessRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke ID",
		Example: "  pgherd access revoke q3vxk2mawd",
		Short:   "take an access token back; members refuse it within two seconds",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error { return a.accepted(c.RevokeAccess(ctx, args[0])) })
		},
	}
}
