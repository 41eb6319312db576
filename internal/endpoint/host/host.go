// Package host makes the real things that one machine's endpoints need, from its name, its keys and its directory: sessions
// on members, and PgBouncers. A member's agent, a host that only pools and the bench of handovers have the same.
//
// It must not run or decide anything: endpoint.Loop does the one, internal/route the other.
package host

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/endpoint"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/spec"
)

// Host is one machine.
type Host struct {
	Name     string // of its certificate
	StateDir string // PgBouncer's files are below it
	PKI      pki.Dir
	Bin      string // PgBouncer's program; "": the one found
	RW, RO   string // HOST:PORT that the two listen at
	Log      *slog.Logger
}

// Source says how this machine reaches a member's PostgreSQL.
func (h Host) Source(m core.MemberRecord) postgres.Source {
	return postgres.Source{
		Host: m.Address, Port: m.PGPort, TLSName: m.Name, AppName: h.Name,
		CertFile: h.PKI.NodeCert(), KeyFile: h.PKI.NodeKey(), CAFile: h.PKI.CACert(),
	}
}

// Dial is an endpoint.Dial.
func (h Host) Dial(ctx context.Context, m core.MemberRecord) (endpoint.Session, error) {
	p, err := postgres.OpenRecoveryProbe(ctx, h.Source(m))
	if err != nil { // not p itself: it would be an interface that is not nil
		return nil, err
	}
	return p, nil
}

// Open is endpoint.Config's: an error where no PgBouncer that is good enough is installed.
func (h Host) Open(readOnly bool, r spec.Pooler) (pooler.Pooler, error) {
	if _, _, err := pooler.Find(h.Bin); err != nil {
		return nil, err
	}
	p, err := h.PgBouncer(readOnly, r)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// PgBouncer is one of the two, by the cluster's rules. Nothing runs yet.
func (h Host) PgBouncer(readOnly bool, r spec.Pooler) (*pooler.PgBouncer, error) {
	dir, listen := "rw", h.RW
	if readOnly {
		dir, listen = "ro", h.RO
	}
	return pooler.New(pooler.Config{
		Bin: h.Bin, Dir: filepath.Join(h.StateDir, "pooler", dir), Listen: listen, ReadOnly: readOnly,
		CertFile: h.PKI.NodeCert(), KeyFile: h.PKI.NodeKey(), CAFile: h.PKI.CACert(),
		AuthUser: postgres.RolePooler, AuthDB: postgres.PoolerDatabase, AuthQuery: postgres.PoolerQuery,
		Settings: pooler.Settings{Mode: string(r.Mode), PoolSize: r.PoolSize, MaxServers: r.MaxServers, MaxClients: r.MaxClients, QueryWait: r.QueryWait.D()},
		Log:      h.Log,
	})
}
