package poolerhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/endpoint"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/privilege"
	"github.com/pgherd/pgherd/internal/spec"
)

// stopMax bounds the end of the endpoints.
const stopMax = 5 * time.Second

// ErrRunning: another process runs on the same state directory.
var ErrRunning = errors.New("another pgherd runs on this state directory")

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
}

// Run is the host's process until ctx ends; then the endpoints end, too. On SIGUSR2, or with DetachOnExit, they go
// on, and the next Run takes them over, as after a kill. When the cluster has removed the host the endpoints end, and
// the error is ErrRemoved. As root it first becomes the owner of the state directory.
func Run(ctx context.Context, o Options) error {
	if err := privilege.BecomeOwner(o.Config.StateDir, false); err != nil {
		return err
	}
	if err := privilege.Confine(); err != nil {
		o.Log.Error("capabilities", "error", err)
	}
	postgres.ForgetVariables()
	id, err := LoadIdentity(o.Config.StateDir)
	if err != nil {
		return err
	}
	if id.Pooler != o.Config.Name {
		return fmt.Errorf("%s is the state of %s, but the configuration is for %s", o.Config.StateDir, id.Pooler, o.Config.Name)
	}
	lock, err := lockState(o.Config.StateDir)
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
	return h.serve(ctx, removed)
}

func newHost(o Options, id Identity, removed func()) (*host, error) {
	h := &host{o: o, pki: pki.Dir(filepath.Join(o.Config.StateDir, "pki"))}
	config, err := pki.PoolerTLS(h.pki)
	if err != nil {
		return nil, err
	}
	h.source = NewSource(config, id.Members, func(members []core.MemberRecord) {
		id := id
		id.Members = members
		if err := id.Save(o.Config.StateDir); err != nil {
			o.Log.Warn("the list of members could not be written", "error", err)
		}
	}, removed)
	c := o.Config
	h.loop = endpoint.New(endpoint.Config{
		Name: c.Name, Address: c.Address, RWPort: portOf(c.Listen.RW), ROPort: portOf(c.Listen.RO),
		Source: h.source, Dial: h.dial, Open: h.open, Now: o.Now, Log: o.Log,
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

func (h *host) dial(ctx context.Context, m core.MemberRecord) (endpoint.Session, error) {
	p, err := postgres.OpenRecoveryProbe(ctx, postgres.Source{
		Host: m.Address, Port: m.PGPort, TLSName: m.Name, AppName: h.o.Config.Name,
		CertFile: h.pki.NodeCert(), KeyFile: h.pki.NodeKey(), CAFile: h.pki.CACert(),
	})
	if err != nil { // not p itself: it would be an interface that is not nil
		return nil, err
	}
	return p, nil
}

func (h *host) open(readOnly bool, r spec.Pooler) (pooler.Pooler, error) {
	c := h.o.Config
	if _, _, err := pooler.Find(c.Pooler.Bin); err != nil {
		return nil, err
	}
	dir, listen := "rw", c.Listen.RW
	if readOnly {
		dir, listen = "ro", c.Listen.RO
	}
	return pooler.New(pooler.Config{
		Bin: c.Pooler.Bin, Dir: filepath.Join(c.StateDir, "pooler", dir), Listen: listen, ReadOnly: readOnly,
		CertFile: h.pki.NodeCert(), KeyFile: h.pki.NodeKey(), CAFile: h.pki.CACert(),
		AuthUser: postgres.RolePooler, AuthDB: postgres.PoolerDatabase, AuthQuery: postgres.PoolerQuery,
		Settings: pooler.Settings{Mode: string(r.Mode), PoolSize: r.PoolSize, MaxServers: r.MaxServers, MaxClients: r.MaxClients, QueryWait: r.QueryWait.D()},
		Log:      h.o.Log,
	})
}

// lockState lets one process run per state directory; the kernel lets go of it at its end, however it ends.
func lockState(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "agent.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %s", ErrRunning, dir)
	}
	return f, nil
}

func portOf(listen string) int {
	_, text, _ := net.SplitHostPort(listen) // spec has checked it
	n, _ := strconv.Atoi(text)
	return n
}
