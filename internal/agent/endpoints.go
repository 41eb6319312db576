package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/endpoint"
	"github.com/pgherd/pgherd/internal/endpoint/host"
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
		Name: c.Name, Address: c.Address, RWPort: spec.PortOf(c.Listen.RW), ROPort: spec.PortOf(c.Listen.RO), Member: true,
		Source: endpoint.StoreSource{Store: a.records, Self: c.Name, Check: a.believed},
		Dial:   a.host().Dial, Open: a.host().Open, Now: warden.BootNow, Log: a.o.Log, Told: a.poke,
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

// host is this machine, as endpoints and standbys need it.
func (a *Agent) host() host.Host {
	c := a.o.Config
	return host.Host{Name: c.Name, StateDir: c.StateDir, PKI: a.pki, Bin: c.Pooler.Bin, RW: c.Listen.RW, RO: c.Listen.RO, Log: a.o.Log}
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

// say puts into a view what this member's own endpoints have to say of the running operation: they are here, and need not be
// read out of the store. Clients are held while it is on its way through there.
func (e *endpoints) say(v *core.View) {
	op := v.Store.Operation
	if e == nil || !op.Active() {
		return
	}
	i := slices.IndexFunc(v.Store.Poolers, func(p core.Pooler) bool { return p.Name == v.Self })
	if h := e.loop.Hold(); i >= 0 && h != nil && h.Operation == op.ID {
		v.Store.Poolers = slices.Clone(v.Store.Poolers) // the store's source has the original
		v.Store.Poolers[i].Hold = h
	}
}

// conditions are appended to what core says.
func (e *endpoints) conditions() []core.Condition {
	if e == nil {
		return nil
	}
	return e.loop.Conditions()
}
