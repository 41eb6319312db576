package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/endpoint"
	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/warden"
)

// endpointsStopMax bounds the end of the endpoints: it is the last thing that a stopping agent does.
const endpointsStopMax = 5 * time.Second

// endpoints are this member's, beside the loop. What runs them ends with the agent; the poolers themselves
// outlive it, and the next agent takes them over without a client noticing.
type endpoints struct {
	loop   *endpoint.Loop
	cancel context.CancelFunc
	ended  chan struct{} // closed when the loop has ended; nil: it did not begin
}

func (a *Agent) buildEndpoints() {
	c := a.o.Config
	if !c.Listen.Endpoints() {
		return
	}
	a.endpoints = &endpoints{loop: endpoint.New(endpoint.Config{
		Name: c.Name, Address: c.Address, RWPort: portOf(c.Listen.RW), ROPort: portOf(c.Listen.RO), Member: true,
		Source: endpoint.StoreSource{Store: a.store, Self: c.Name, Check: a.believed},
		Dial:   a.dialProbe, Open: a.openPooler, Now: warden.BootNow, Log: a.o.Log,
	})}
}

// believed refuses what is no store of this member's generation; what follows from that is for the loop to do.
func (a *Agent) believed(s store.Snapshot, v core.StoreView) error {
	if _, has := s.Entries[records.KeyCluster]; !has {
		return errEmptyStore
	}
	if v.Cluster.Generation != a.gen.Number {
		return fmt.Errorf("the store is of generation %d, this member of %d", v.Cluster.Generation, a.gen.Number)
	}
	return nil
}

func (a *Agent) dialProbe(ctx context.Context, m core.MemberRecord) (endpoint.Session, error) {
	p, err := postgres.OpenRecoveryProbe(ctx, a.sourceOf(m))
	if err != nil { // not p itself: it would be an interface that is not nil
		return nil, err
	}
	return p, nil
}

func (a *Agent) openPooler(readOnly bool, r spec.Pooler) (pooler.Pooler, error) {
	c := a.o.Config
	if _, _, err := pooler.Find(c.Pooler.Bin); err != nil {
		return nil, err
	}
	dir, listen := "rw", c.Listen.RW
	if readOnly {
		dir, listen = "ro", c.Listen.RO
	}
	return pooler.New(pooler.Config{
		Bin: c.Pooler.Bin, Dir: filepath.Join(c.StateDir, "pooler", dir), Listen: listen, ReadOnly: readOnly,
		CertFile: a.pki.NodeCert(), KeyFile: a.pki.NodeKey(), CAFile: a.pki.CACert(),
		AuthUser: postgres.RolePooler, AuthDB: postgres.PoolerDatabase, AuthQuery: postgres.PoolerQuery,
		Settings: pooler.Settings{Mode: string(r.Mode), PoolSize: r.PoolSize, MaxServers: r.MaxServers, MaxClients: r.MaxClients, QueryWait: r.QueryWait.D()},
		Log:      a.o.Log,
	})
}

// begin gives what runs them until ctx ends, or stop is called.
func (e *endpoints) begin(ctx context.Context) func() error {
	ctx, e.cancel = context.WithCancel(ctx)
	e.ended = make(chan struct{})
	return func() error {
		defer close(e.ended)
		return e.loop.Run(ctx)
	}
}

// stop ends the poolers, too: after PostgreSQL here has stopped and the lease is handed over, or
// their clients would not have got to the next primary.
func (e *endpoints) stop(a *Agent) {
	if e == nil || e.ended == nil {
		return
	}
	e.cancel()
	<-e.ended
	ctx, cancel := context.WithTimeout(context.Background(), endpointsStopMax)
	defer cancel()
	if err := e.loop.Stop(ctx); err != nil {
		a.o.Log.Warn("the endpoints did not end as they should", "error", err)
	}
}

// conditions are appended to what core says.
func (e *endpoints) conditions() []core.Condition {
	if e == nil {
		return nil
	}
	return e.loop.Conditions()
}
