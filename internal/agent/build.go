package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgherd/pgherd/internal/act"
	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/metrics"
	"github.com/pgherd/pgherd/internal/observe"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/privilege"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/embed"
	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/internal/warden"
)

// build puts the parts together. Nothing waits for another member here.
func build(ctx context.Context, o Options, id Identity) (*Agent, error) {
	a := &Agent{o: o, id: id, pki: pki.Dir(filepath.Join(o.Config.StateDir, "pki")), wake: make(chan struct{}, 1), began: warden.BootNow(), proof: invariants{log: o.Log}, kept: openKept(o.Config.StateDir, o.Log)}
	var err error
	if a.gen, err = loadGeneration(o.Config.StateDir); err != nil {
		return nil, err
	}
	a.metrics = metrics.New(id.Cluster, o.Config.Name, a.measures, o.Log)
	clientTLS, err := pki.ClientTLS(a.pki)
	if err != nil {
		return nil, err
	}
	a.peers = peer.New(clientTLS)
	if a.journal, err = journal.Open(filepath.Join(o.Config.StateDir, "journal")); err != nil {
		return nil, err
	}
	if err := a.buildStore(ctx, clientTLS); err != nil {
		return nil, err
	}
	a.records = a.metrics.Measured(a.store)
	a.jobs = &act.Jobs{Now: warden.BootNow, Log: o.Log}
	a.runner = &act.Runner{Self: o.Config.Name, Store: a.records, Now: warden.BootNow, Log: o.Log, Jobs: a.jobs, Took: a.metrics.Stepped}
	if !o.Config.Witness {
		if err := a.buildServer(); err != nil {
			return nil, err
		}
	}
	a.buildLoop()
	a.buildEndpoints()
	if a.api, err = api.Listen(a.backend()); err != nil {
		return nil, err
	}
	return a, nil
}

// buildStore connects to the external store, or begins the embedded one.
func (a *Agent) buildStore(ctx context.Context, clientTLS *tls.Config) error {
	c := a.o.Config
	prefix := strings.TrimRight(c.Store.Prefix, "/")
	if prefix == "" {
		prefix = "/pgherd"
	}
	a.prefix = prefix + "/" + a.id.ClusterID
	config := etcd.Config{Prefix: a.gen.prefix(a.prefix), TLS: clientTLS, Logger: a.o.Log, Endpoints: c.Store.Endpoints}
	if len(c.Store.Endpoints) > 0 {
		external, err := externalTLS(c.Store)
		if err != nil {
			return err
		}
		config.TLS = external
	} else {
		a.voter = &voter{config: a.embedConfig(), stateDir: c.StateDir, log: a.o.Log, foundedFile: a.foundedFile()}
		if err := a.voter.begin(ctx, a.gen.Number == 0 && a.id.First || a.founds()); err != nil {
			return a.storeStartFailed(err)
		}
		config.Endpoints = a.voter.endpoints(a.id.Seeds)
	}
	a.storeConfig = config
	store, err := etcd.Dial(ctx, config)
	a.store = store
	return err
}

// storeStartFailed sets damaged data aside: the member has lost its vote with it, and joins the quorum anew as
// one that has lost its share. Only a new process can.
func (a *Agent) storeStartFailed(err error) error {
	if !errors.Is(err, embed.ErrDamaged) {
		return fmt.Errorf("the embedded store does not start: %w", err)
	}
	to, moved := a.voter.config.SetAside("damaged")
	if moved != nil {
		return errors.Join(err, moved)
	}
	a.tell(core.Error, "this member's share of the store is damaged and is set aside as %s: %v", filepath.Base(to), err)
	a.journal.Close()
	return errBegin
}

func (a *Agent) embedConfig() embed.Config {
	c := a.o.Config
	return embed.Config{
		Name: c.Name, Dir: filepath.Join(c.StateDir, "store"+a.gen.suffix()),
		PeerListen: c.Listen.Peer, ClientListen: c.Listen.Store,
		PeerAdvertise: advertise(c.Address, c.Listen.Peer), ClientAdvertise: advertise(c.Address, c.Listen.Store),
		CertFile: a.pki.NodeCert(), KeyFile: a.pki.NodeKey(), CAFile: a.pki.CACert(),
		ClusterToken: a.id.ClusterID + a.gen.suffix(), AllowedHost: pki.MemberHost(a.id.ClusterID), Logger: a.o.Log,
	}
}

// buildServer prepares this member's PostgreSQL; it first ends what a crash of the
// last agent may have left half done.
func (a *Agent) buildServer() error {
	c := a.o.Config
	bin, version, err := postgres.FindBinDir(c.Postgres.BinDir)
	if err != nil {
		return err
	}
	a.major = version.Major
	a.o.Log.Info("PostgreSQL", "version", version.String(), "bin_dir", bin)
	in := postgres.Instance{BinDir: bin, DataDir: c.Postgres.DataDir, WalDir: c.Postgres.WalDir, SocketDir: c.Postgres.SocketDir, Port: c.Postgres.Port}
	if err := os.MkdirAll(in.SocketDir, 0o711); err != nil {
		return fmt.Errorf("the socket directory: %w", err)
	}
	a.server = &act.Server{
		Instance: in, DB: postgres.Open(in), Cluster: a.id.Cluster, Config: listening(c), PKI: a.pki,
		OSUser: userName(), StateDir: c.StateDir, Source: a.source,
	}
	a.server.Load()
	if err := postgres.FinishClone(in); err != nil {
		return err
	}
	if err := a.server.FinishInit(postgres.Mark{ClusterID: a.id.ClusterID, Member: c.Name}); err != nil {
		return err
	}
	a.warden = &wardenLink{log: a.o.Log, poke: func() { a.outward.poke(); a.poke() }, allowed: a.mayGuard, watchdog: c.Watchdog, options: warden.Options{Exe: selfExe, StateDir: c.StateDir, DataDir: in.DataDir, Logger: a.o.Log}}
	if c.VIP.Interface != "" {
		a.warden.options.AmbientCaps = privilege.Grant()
	}
	a.runner.Server, a.runner.Warden = a.server, a.warden.client
	return nil
}

// mayGuard: a new warden begins by killing what runs in the data directory, so that must
// not be somebody else's.
func (a *Agent) mayGuard() error {
	state, version, mark, err := postgres.DataState(a.server.Instance)
	switch {
	case err != nil:
		return err
	case state != postgres.DirPresent:
		return nil
	case mark == nil:
		return fmt.Errorf("%s holds a database without pgherd's mark: what may run there is left alone", a.server.Instance.DataDir)
	case mark.ClusterID != a.id.ClusterID:
		return fmt.Errorf("%s belongs to cluster %s: what may run there is left alone", a.server.Instance.DataDir, mark.ClusterID)
	case mark.Member != a.id.Member:
		return fmt.Errorf("%s is the data of member %s: what may run there is left alone", a.server.Instance.DataDir, mark.Member)
	case version != strconv.Itoa(a.major):
		return fmt.Errorf("%s holds data of PostgreSQL %s, but the programs in %s are of version %d; correct postgres.bin_dir", a.server.Instance.DataDir, version, a.server.Instance.BinDir, a.major)
	}
	return nil
}

func (a *Agent) buildLoop() {
	stores := &observe.StoreSource{Self: a.o.Config.Name, Store: a.records, Now: warden.BootNow, Check: a.check, Remembered: a.members}
	a.observer = &observe.Observer{
		Self: a.o.Config.Name, Ordinal: a.id.Ordinal, Now: warden.BootNow, Store: stores, Job: a.jobs.View,
		Peers: &observe.PeerSource{Self: a.o.Config.Name, Client: a.peers, Now: warden.BootNow},
	}
	if a.server != nil {
		a.observer.Local = &observe.LocalSource{
			Now: warden.BootNow, Self: a.o.Config.Name, Instance: a.server.Instance, DB: a.server.DB, Warden: a.warden.status,
			Watchdog: a.o.Config.Watchdog.Mode,
			Applied:  a.server.Applied, Held: a.server.Held, Leaving: a.server.Leaving, Mount: observe.MountCheck{DataDir: a.server.Instance.DataDir, Mount: a.readMount()},
		}
	}
	a.observer.State = &observe.StateVolume{Dir: a.o.Config.StateDir}
	if a.server != nil {
		wal, data := a.server.Instance.Volumes()
		a.observer.State.Beside = []string{wal, data}
		a.keeper, a.announcer = newKeeper(a), newAnnouncer(a)
		a.outward = newOutward(a)
		a.observer.Kept, a.runner.KeptChanged = a.keeper.view, a.keeper.changed
	}
	a.jobs.Wake = func() {
		if a.observer.Local != nil {
			a.observer.Local.Invalidate()
		}
		a.poke()
	}
	a.runner.Ledger, a.runner.Wake = stores, a.poke
	a.runner.Ask = func(ctx context.Context, m core.MemberRecord, v core.Vouch) error {
		return a.peers.Vouch(ctx, apiAddress(m), v)
	}
	a.runner.Identity = act.Identity{ClusterID: a.id.ClusterID, SystemID: func() string { return a.latest().View.Store.Cluster.SystemID }}
}

// latest is this process's last tick; empty before the first.
func (a *Agent) latest() journal.Entry {
	if e := a.newest.Load(); e != nil {
		return *e
	}
	return journal.Entry{}
}

// source says how to reach another member's PostgreSQL.
func (a *Agent) source(member string) (postgres.Source, bool) {
	for _, m := range a.latest().View.Store.Members {
		if m.Name == member && !m.Witness {
			return a.host().Source(m), true
		}
	}
	return postgres.Source{}, false
}

// listening fills in listen_addresses: the member's own address and this machine.
func listening(c spec.Member) spec.Member {
	if c.Postgres.Listen == "" {
		c.Postgres.Listen = "localhost"
		if c.Address != "127.0.0.1" && c.Address != "localhost" {
			c.Postgres.Listen += "," + c.Address
		}
	}
	return c
}

// RecordOf is what the cluster knows of a member, made from its own file.
func RecordOf(c spec.Member, ordinal int) core.MemberRecord {
	m := core.MemberRecord{
		Name: c.Name, Ordinal: ordinal, Address: c.Address, Witness: c.Witness, Tags: c.Tags,
		APIPort: spec.PortOf(c.Listen.API), PeerPort: spec.PortOf(c.Listen.Peer), StorePort: spec.PortOf(c.Listen.Store),
	}
	if !c.Witness {
		m.PGPort = c.Postgres.Port
	}
	return m
}

func advertise(address, listen string) string {
	return "https://" + net.JoinHostPort(address, strconv.Itoa(spec.PortOf(listen)))
}

func peerURL(m core.MemberRecord) string {
	return "https://" + net.JoinHostPort(m.Address, strconv.Itoa(m.PeerPort))
}

func storeURL(m core.MemberRecord) string {
	return "https://" + net.JoinHostPort(m.Address, strconv.Itoa(m.StorePort))
}
