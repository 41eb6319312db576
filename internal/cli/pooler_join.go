package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/agent"
	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/poolerhost"
	"github.com/pgherd/pgherd/internal/spec"
)

func (a *app) poolerJoinCommand() *cobra.Command {
	s, f := &setup{joining: true}, &joinFlags{}
	cmd := &cobra.Command{
		Use:     "join HOST:PORT",
		Short:   "make this machine a host of the cluster's endpoints",
		Long:    "HOST:PORT is the API of any running member. The token comes from `pgherd token create --pooler` on a member. The file that is written is " + poolerConfigDefault + " if --config names no other.",
		Example: "  pgherd pooler join 10.0.0.1:7432 --token-file /root/token --name app1 --address 10.0.0.9",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.poolerJoin(cmd.Context(), s, f, args[0])
		},
	}
	flags, m := cmd.Flags(), &s.m
	flags.StringVar(&m.Name, "name", "", "the host's name: 1 to 32 of a-z 0-9 -, beginning with a letter; no member's (required)")
	flags.StringVar(&m.Address, "address", "", "host name or IP by which clients reach it (required)")
	flags.StringVar(&m.StateDir, "state-dir", "/var/lib/pgherd", "keys, PgBouncer's files")
	flags.StringVar(&s.user, "user", "postgres", "who runs pgherd and PgBouncer; only root can choose")
	flags.IntVar(&s.rwPort, "rw-port", spec.DefaultRWPort, "endpoint that sends wherever the primary is")
	flags.IntVar(&s.roPort, "ro-port", spec.DefaultROPort, "endpoint that sends to the standbys")
	flags.StringVar(&m.Listen.RW, "listen-rw", "", "HOST:PORT instead of all addresses and --rw-port")
	flags.StringVar(&m.Listen.RO, "listen-ro", "", "HOST:PORT instead of all addresses and --ro-port")
	flags.StringVar(&m.Pooler.Bin, "pgbouncer", "", "PgBouncer's program (default: the one found)")
	f.flags(cmd)
	return cmd
}

func (a *app) poolerJoin(ctx context.Context, s *setup, f *joinFlags, to string) error {
	syscall.Umask(openUmask)
	token, text, err := a.tokenFor(f, to)
	if err != nil {
		return err
	}
	host, err := s.completePooler()
	if err != nil {
		return err
	}
	if err := s.checkPooler(a.poolerConfig(), a.stderr); err != nil {
		return err
	}
	return a.poolerJoinWith(ctx, s, host, token, text, to)
}

// completePooler turns the flags into a whole host, or says what is wrong with them.
func (s *setup) completePooler() (spec.PoolerHost, error) {
	m := &s.m
	if m.StateDir != "" {
		m.StateDir = filepath.Clean(m.StateDir)
	}
	if err := s.findPooler(); err != nil {
		return spec.PoolerHost{}, err
	}
	if s.without != "" {
		return spec.PoolerHost{}, refused("install PgBouncer 1.21 or newer, or name it with --pgbouncer", "%s", s.without)
	}
	host := spec.PoolerHost{Name: m.Name, Address: m.Address, StateDir: m.StateDir, Listen: spec.PoolerListen{RW: m.Listen.RW, RO: m.Listen.RO}, Pooler: m.Pooler}
	if err := host.Validate(); err != nil {
		return host, &exitError{ExitUsage, "", err}
	}
	return host, nil
}

// checkPooler is check for a host without data. It changes nothing.
func (s *setup) checkPooler(config string, warn io.Writer) error {
	if !filepath.IsAbs(config) {
		return usage("write the whole path, from /", "--config %q is not absolute", config)
	}
	if _, _, err := s.owner(); err != nil {
		return err
	}
	if err := s.checkNoLinks(); err != nil {
		return err
	}
	if err := s.checkUnused(config); err != nil {
		return err
	}
	for _, e := range []struct{ flag, listen string }{{"--rw-port", s.m.Listen.RW}, {"--ro-port", s.m.Listen.RO}} {
		l, err := net.Listen("tcp", e.listen)
		if err != nil {
			return refused("stop what uses it, or choose another "+e.flag, "%s cannot be used: %w", e.listen, bare(err))
		}
		_ = l.Close()
	}
	if !isLocal(s.m.Address) {
		fmt.Fprintf(warn, "warning: %s is not an address of this machine; that is right only behind address translation\n", s.m.Address)
	}
	return nil
}

func (a *app) poolerJoinWith(ctx context.Context, s *setup, host spec.PoolerHost, token pki.Token, text, to string) error {
	key, csr, err := pki.NewKeyAndCSR(host.Name, []string{host.Address})
	if err != nil {
		return err
	}
	c := api.Pinned(to, token.Fingerprint)
	defer c.Close()
	asking, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	answer, err := c.PoolerJoin(asking, api.PoolerJoinRequest{Token: text, Name: host.Name, Address: host.Address, CSR: string(csr)})
	if errors.Is(err, api.ErrLost) {
		return &exitError{ExitUnknown, "`pgherd pooler remove " + host.Name + "` on a member, then join again with a new token, under another name", err}
	}
	if err != nil {
		return joinError(err, host.Name, to)
	}
	if err := s.writePooler(a.poolerConfig(), host, token, answer, key); err != nil { // the cluster has the host already
		return failed("`pgherd pooler remove "+host.Name+"` on a member, then join again with a new token, under another name", "the cluster took %s in, but here it cannot be set up: %w", host.Name, err)
	}
	next := fmt.Sprintf("start it with `pgherd pooler run --config %s`, or `systemctl enable --now pgherd-pooler`", a.poolerConfig())
	said := map[string]string{"pooler": host.Name, "cluster": answer.Cluster, "config": a.poolerConfig()}
	return a.answer(said, func(w io.Writer) {
		fmt.Fprintf(w, "%s offers the endpoints of cluster %s\n%s\n", host.Name, answer.Cluster, next)
	})
}

// writePooler makes the host, as write makes a member.
func (s *setup) writePooler(config string, host spec.PoolerHost, token pki.Token, answer api.PoolerJoinAnswer, key []byte) error {
	dir := pki.Dir(filepath.Join(host.StateDir, "pki"))
	id := poolerhost.Identity{ClusterID: answer.ClusterID, Cluster: answer.Cluster, Pooler: host.Name, Members: answer.Members}
	for _, step := range []func() error{
		func() error { return makeStateDir(host.StateDir) },
		func() error { return agent.BeginSetup(host.StateDir, config) },
		func() error { return os.RemoveAll(string(dir)) }, // of an interrupted setup
		func() error {
			return pki.SavePooler(dir, token.Fingerprint, []byte(answer.CACert), []byte(answer.Cert), key)
		},
		func() error { return id.Save(host.StateDir) },
		func() error { return os.MkdirAll(filepath.Dir(config), 0o755) },
		func() error { return agent.WriteFile(config, host.YAML(), fs.FileMode(0o644)) }, // no secret in it
		s.chown,
		func() error { return agent.EndSetup(host.StateDir) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
