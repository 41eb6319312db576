package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/peer"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Example: "  pgherd status\n  pgherd status --json",
		Short:   "show the members, their state, and what to do about it",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				s, err := c.Status(ctx)
				if err != nil {
					return err
				}
				return a.answer(s, func(w io.Writer) { printStatus(w, s, a.now()) })
			})
		},
	}
}

// printStatus is what a tired person reads at night: words, no colours.
func printStatus(w io.Writer, s api.ClusterStatus, now time.Time) {
	fmt.Fprintf(w, "cluster %s, term %d, %s\n\n", orDash(s.Cluster), s.Term, plural(len(s.Members), "member"))
	rows := [][]string{{"MEMBER", "ROLE", "STATE", "TIMELINE", "LAG", "ENDPOINT"}}
	for _, m := range s.Members {
		rows = append(rows, []string{m.Name, m.Role, stateText(m), timelineText(m), lagText(m), endpoint(m)})
	}
	table(w, rows)
	fmt.Fprintln(w)
	printEndpoints(w, s.Endpoints)
	if op := s.Operation; op != nil {
		fmt.Fprintf(w, "%s under way: %s\n\n", op.Kind, op.Phase)
	}
	printConditions(w, s, now)
}

// printEndpoints shows where applications connect to, and where that leads.
func printEndpoints(w io.Writer, list []api.EndpointStatus) {
	if len(list) == 0 {
		return
	}
	rows := [][]string{{"ENDPOINTS", "READ-WRITE", "SENDS TO", "READ-ONLY", "SENDS TO", "CLIENTS"}}
	for _, e := range list {
		target, readers := e.Target, strings.Join(e.Readers, ", ")
		if target == "" {
			target = "(clients wait)"
		}
		if readers == "" {
			readers = "(clients wait)"
		}
		rows = append(rows, []string{e.Name, hostPort(e.Address, e.RWPort), target, hostPort(e.Address, e.ROPort), readers, strconv.Itoa(e.Clients)})
	}
	table(w, rows)
	for _, e := range list {
		if e.Text != "" {
			fmt.Fprintf(w, "%s: %s\n", e.Name, e.Text)
		}
	}
	fmt.Fprintln(w)
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

func stateText(m api.MemberStatus) string {
	if m.Progress != "" {
		return m.State + " " + m.Progress
	}
	return m.State
}

func timelineText(m api.MemberStatus) string {
	if m.Timeline == 0 {
		return "-"
	}
	return strconv.FormatUint(uint64(m.Timeline), 10)
}

func lagText(m api.MemberStatus) string {
	if m.LagBytes == nil || m.Role == api.RolePrimary {
		return "-"
	}
	return bytesText(*m.LagBytes)
}

func endpoint(m api.MemberStatus) string {
	if m.Port == 0 {
		return "-"
	}
	return hostPort(m.Address, m.Port)
}

// printConditions lists the cluster's conditions, then the members', each with what to do.
func printConditions(w io.Writer, s api.ClusterStatus, now time.Time) {
	count := len(s.Conditions)
	for _, c := range s.Conditions {
		printCondition(w, "", c, now)
	}
	for _, m := range s.Members {
		count += len(m.Conditions)
		for _, c := range m.Conditions {
			printCondition(w, m.Name+": ", c, now)
		}
	}
	if count == 0 {
		fmt.Fprintln(w, "no conditions: nothing needs attention")
	}
}

func printCondition(w io.Writer, who string, c peer.Condition, now time.Time) {
	fmt.Fprintf(w, "%s  %s%s\n", c.Severity, who, c.Text)
	if ago := agoText(c.Since, now); ago != "" {
		fmt.Fprintf(w, "    %s (%s)\n", ago, c.Code)
	} else {
		fmt.Fprintf(w, "    (%s)\n", c.Code)
	}
	if c.Hint != "" {
		fmt.Fprintf(w, "    to do: %s\n", c.Hint)
	}
}
