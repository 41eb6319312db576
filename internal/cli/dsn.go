package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/pki"
)

// dsnRequest is what the connection string is to be for.
type dsnRequest struct {
	format, database, user, rootCert string
	readOnly, endpoints              bool
}

// DSNAnswer is what dsn answers with --json.
type DSNAnswer struct {
	Format string `json:"format"`
	DSN    string `json:"dsn"`
}

func (a *app) dsnCommand() *cobra.Command {
	r := dsnRequest{format: "uri"}
	cmd := &cobra.Command{
		Use:   "dsn",
		Short: "print a connection string over all members, for applications",
		Long: "The driver tries the members in turn and keeps the one that accepts writes (or, with --read-only, a standby if there is one). " +
			"There is no password in it: put that where the driver looks for it, such as ~/.pgpass.",
		Example: "  pgherd dsn --user app --database app --sslrootcert /etc/ssl/pgherd-ca.crt\n  pgherd dsn --read-only --format service >> ~/.pg_service.conf",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.check(); err != nil {
				return err
			}
			return a.dsn(cmd, r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.format, "format", r.format, "uri (libpq), jdbc, pgx or service (a section of pg_service.conf)")
	f.BoolVar(&r.readOnly, "read-only", false, "for reading: a standby, the primary if there is none")
	f.BoolVar(&r.endpoints, "endpoints", false, "through the poolers' ports instead of the members'")
	f.StringVar(&r.database, "database", "", "the database")
	f.StringVar(&r.user, "user", "", "the role")
	f.StringVar(&r.rootCert, "sslrootcert", "", "where the application finds a copy of the cluster's CA certificate (default: the member's own)")
	return cmd
}

func (r dsnRequest) check() error {
	if dsnFormats[r.format] == nil {
		return usage("want uri, jdbc, pgx or service", "format %q is not known", r.format)
	}
	for name, value := range map[string]string{"database": r.database, "user": r.user, "sslrootcert": r.rootCert} {
		if strings.ContainsFunc(value, unicode.IsControl) {
			return usage("", "--%s %q: it has a control character", name, value)
		}
	}
	return nil
}

func (a *app) dsn(cmd *cobra.Command, r dsnRequest) error {
	m, err := a.member()
	if err != nil {
		return err
	}
	given := r.rootCert != ""
	if !given {
		r.rootCert = pki.Dir(m.StateDir + "/pki").CACert()
	}
	return a.call(cmd, func(ctx context.Context, c *api.Client) error {
		d, err := r.target(ctx, c)
		if err != nil {
			return err
		}
		text := dsnFormats[r.format](d)
		if !given && !a.json {
			fmt.Fprintf(a.stderr, "note: only the agent's user can read %s; give applications a copy, and its place with --sslrootcert\n", r.rootCert)
		}
		return a.answer(DSNAnswer{r.format, text}, func(w io.Writer) { fmt.Fprintln(w, text) })
	})
}

// target asks the agent where to connect to.
func (r dsnRequest) target(ctx context.Context, c *api.Client) (dsnTarget, error) {
	d := dsnTarget{dsnRequest: r}
	s, err := c.Status(ctx)
	if err != nil {
		return d, err
	}
	d.cluster = s.Cluster
	if !r.endpoints {
		for _, m := range s.Members {
			if m.Role != api.RoleWitness && m.Port != 0 {
				d.hosts = append(d.hosts, dsnHost{m.Address, m.Port})
			}
		}
		if len(d.hosts) == 0 {
			return d, failed("`pgherd status` shows the members", "no member holds data yet")
		}
		return d, nil
	}
	e, err := c.Endpoints(ctx)
	if err != nil {
		return d, err
	}
	for _, p := range e.Poolers {
		port := p.RWPort
		if r.readOnly {
			port = p.ROPort
		}
		d.hosts = append(d.hosts, dsnHost{p.Address, port})
	}
	d.hosts = slices.DeleteFunc(d.hosts, func(h dsnHost) bool { return h.port == 0 })
	if len(d.hosts) == 0 {
		return d, refused("leave --endpoints out to reach the members themselves", "the cluster has no pooler")
	}
	return d, nil
}
