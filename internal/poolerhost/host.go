package poolerhost

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/endpoint"
	endpointhost "github.com/pgherd/pgherd/internal/endpoint/host"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/privilege"
	"github.com/pgherd/pgherd/internal/sdnotify"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/statedir"
)

// stopMax bounds the end of the endpoints.
const stopMax = 5 * time.Second

// Options are of Run.
type Options struct {
	Config       spec.PoolerHost
	Now          func() core.Instant // this machine's clock since its start
	DetachOnExit bool                // leave the endpoints running when ctx ends
	Log          *slog.Logger
}

// host is a running one.
type host struct {
	o      Options
	pki    pki.Dir
	source *Source
	loop   *endpoint.Loop
	told   teller
}

// Run is the host's process until ctx ends; then the endpoints end, too. On SIGUSR2, or with DetachOnExit, they go
// on, and the next Run takes them over, as after a kill. When the cluster has removed the host the endpoints end, and
// the error is ErrRemoved; when it does not know the host they stay as they are (notice.go). As root it first becomes the owner of the state directory.
func Run(ctx context.Context, o Options) error {
	if err := privilege.BecomeOwner(o.Config.StateDir, false); err != nil {
		return err
	}
	if err := privilege.Confine(); err != nil {
		o.Log.Error("capabilities", "error", err)
	}
	postgres.ForgetVariables()
	supervisor := sdnotify.Open()
	id, err := LoadIdentity(o.Config.StateDir)
	if err != nil {
		return err
	}
	if id.Pooler != o.Config.Name {
		return fmt.Errorf("%s is the state of %s, but the configuration is for %s", o.Config.StateDir, id.Pooler, o.Config.Name)
	}
	lock, err := statedir.Lock(o.Config.StateDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	removed, remove := context.WithCancel(context.Background())
	defer remove()
	h, err := newHost(o, id, remove)
	if err != nil {
		return err
	}
	defer h.source.Close()
	supervisor.Alive() // its endpoints wait for the members by themselves
	return h.serve(ctx, removed)
}

func newHost(o Options, id Identity, removed func()) (*host, error) {
	h := &host{o: o, pki: pki.Dir(filepath.Join(o.Config.StateDir, "pki")), told: teller{log: o.Log, stateDir: o.Config.StateDir, now: time.Now}}
	config, err := pki.PoolerTLS(h.pki)
	if err != nil {
		return nil, err
	}
	remember := func(members []core.MemberRecord) {
		id := id
		id.Members = members
		if err := id.Save(o.Config.StateDir); err != nil {
			o.Log.Warn("the list of members could not be written", "error", err)
		}
	}
	h.source = NewSource(config, id.Members, Notices{Members: remember, Removed: removed, Read: h.told.read})
	c := o.Config
	here := endpointhost.Host{Name: c.Name, StateDir: c.StateDir, PKI: h.pki, Bin: c.Pooler.Bin, RW: c.Listen.RW, RO: c.Listen.RO, Log: o.Log}
	h.loop = endpoint.New(endpoint.Config{
		Name: c.Name, Address: c.Address, RWPort: spec.PortOf(c.Listen.RW), ROPort: spec.PortOf(c.Listen.RO),
		Source: h.source, Dial: here.Dial, Open: here.Open, Now: o.Now, Log: o.Log,
	})
	return h, nil
}

func (h *host) serve(ctx context.Context, removed context.Context) error {
	detach := make(chan os.Signal, 1)
	signal.Notify(detach, syscall.SIGUSR2)
	defer signal.Stop(detach)
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	parts.Go(func() { _ = h.loop.Run(running) }) // it ends with its context only
	parts.Go(func() { h.keepCertificate(running) })
	detached := false
	select {
	case <-ctx.Done():
		detached = h.o.DetachOnExit
	case <-detach:
		detached = true
	case <-removed.Done():
	}
	cancel()
	parts.Wait()
	if detached {
		h.o.Log.Info("the endpoints go on without this process")
		return nil
	}
	return h.stop(removed.Err() != nil)
}

func (h *host) stop(removed bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopMax)
	defer cancel()
	err := h.loop.Stop(ctx)
	if removed {
		return ErrRemoved // the record went with the registration
	}
	if err != nil {
		h.o.Log.Warn("the endpoints did not end as they should", "error", err)
	}
	return nil
}
