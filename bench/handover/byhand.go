package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/pgherd/pgherd/bench/pgbench"
	"github.com/pgherd/pgherd/internal/demo"
	"github.com/pgherd/pgherd/internal/endpoint/host"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/spec"
)

const (
	byHandServers = 2
	address       = "127.0.0.1" // of all: see demo
	handStartMax  = time.Minute
)

// byHand is the side that nobody watches. pgherd makes it, so that settings, TLS, roles and secrets are those of
// the other side; then its agents are killed, the servers run as their files say, and this
// program owns the PgBouncer.
type byHand struct {
	c       *demo.Cluster
	servers []*server
	primary *server
	pool    *pooler.PgBouncer
}

func newByHand(ctx context.Context, exe string, load pgbench.Load) (*byHand, error) {
	c, err := startCluster(ctx, exe, byHandServers, load)
	if err != nil {
		return nil, err
	}
	b := &byHand{c: c}
	if err := b.takeOver(ctx, load.BinDir); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

// takeOver kills pgherd, the primary's last: nobody is left then to elect another.
func (b *byHand) takeOver(ctx context.Context, binDir string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, handStartMax, errors.New("the servers were not well in "+handStartMax.String()))
	defer cancel()
	status, err := b.c.WaitHealthy(ctx, func(demo.Status) {})
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(b.c.Names(), func(name string) bool { return name == status.Primary() })
	for _, name := range append(names, status.Primary()) {
		if _, err := b.c.KillMember(ctx, name); err != nil {
			return err
		}
		b.primary = newServer(b.c, binDir, name) // the last one is
		b.servers = append(b.servers, b.primary)
	}
	for _, s := range b.servers {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	if err := b.configure(ctx); err != nil {
		return err
	}
	return b.takePooler(ctx)
}

// configure gives each server the other as its source, and the primary the standby as the one
// that commits wait for. Slots are left out: each server has those of its own past only.
func (b *byHand) configure(ctx context.Context) error {
	for _, s := range b.servers {
		other := b.other(s)
		source := postgres.Source{Host: address, Port: other.in.Port, AppName: s.name,
			CertFile: s.keys.NodeCert(), KeyFile: s.keys.NodeKey(), CAFile: s.keys.CACert()}
		if err := s.set(ctx, map[string]string{"primary_slot_name": "", "primary_conninfo": source.PrimaryConnInfo(), "synchronous_standby_names": ""}); err != nil {
			return err
		}
	}
	return b.ready(ctx)
}

// takePooler adopts the endpoint that clients use, and ends the others.
func (b *byHand) takePooler(ctx context.Context) (err error) {
	for _, s := range b.servers {
		for _, readOnly := range []bool{false, true} {
			p, err := s.pooler(b.c, readOnly)
			if err != nil {
				return err
			}
			if s.name == b.c.Names()[0] && !readOnly {
				b.pool = p
			} else if err := p.Stop(ctx); err != nil {
				return err
			}
		}
	}
	return b.pool.Ensure(ctx, []pooler.Target{b.primary.target()})
}

// pooler is the same as the agent's.
func (s *server) pooler(c *demo.Cluster, readOnly bool) (*pooler.PgBouncer, error) {
	at := func(port int) string { return net.JoinHostPort(address, strconv.Itoa(port)) }
	ports := c.PortsOf(s.name)
	h := host.Host{Name: s.name, StateDir: c.StateDir(s.name), PKI: s.keys, RW: at(ports.RW), RO: at(ports.RO)}
	return h.PgBouncer(readOnly, spec.DefaultPooler())
}

func (b *byHand) other(s *server) *server {
	for _, o := range b.servers {
		if o != s {
			return o
		}
	}
	return nil
}

func (b *byHand) name() string { return "by hand" }

func (b *byHand) dsn() string { return b.c.EndpointDSN(b.c.Names()[0]) }

func (b *byHand) poolerPID() (int, error) { return pidIn(b.c, b.c.Names()[0]) }

// stop ends all of it, and removes the directory.
func (b *byHand) stop() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), handStartMax)
	defer cancel()
	for _, s := range b.servers {
		for _, readOnly := range []bool{false, true} {
			p, perr := s.pooler(b.c, readOnly)
			if perr == nil {
				perr = p.Stop(ctx)
			}
			err = errors.Join(err, perr)
		}
		err = errors.Join(err, s.stop(ctx))
	}
	return errors.Join(err, b.c.End())
}

// newServer describes a server that a killed member left.
func newServer(c *demo.Cluster, binDir, name string) *server {
	state := c.StateDir(name)
	return &server{name: name, dir: state, keys: pki.Dir(filepath.Join(state, "pki")), in: postgres.Instance{BinDir: binDir,
		DataDir: filepath.Join(state, "data"), SocketDir: filepath.Join(state, "run"), Port: c.PortsOf(name).Postgres}}
}

func (s *server) target() pooler.Target { return pooler.Target{Host: address, Port: s.in.Port} }

func (s *server) String() string { return fmt.Sprintf("%s (port %d)", s.name, s.in.Port) }
