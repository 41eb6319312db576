package cli

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
)

func (a *app) membersCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "members",
		Example: "  pgherd members",
		Short:   "list the members",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				s, err := c.Status(ctx)
				if err != nil {
					return err
				}
				return a.answer(s.Members, func(w io.Writer) { printMembers(w, s.Members) })
			})
		},
	}
}

func printMembers(w io.Writer, members []api.MemberStatus) {
	rows := [][]string{{"MEMBER", "ROLE", "STATE", "ADDRESS", "PORT"}}
	for _, m := range members {
		port := "-"
		if m.Port != 0 {
			port = strconv.Itoa(m.Port)
		}
		rows = append(rows, []string{m.Name, m.Role, m.State, m.Address, port})
	}
	table(w, rows)
}
