package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgherd/pgherd/internal/act"
	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/logs"
	"github.com/pgherd/pgherd/internal/metrics"
	"github.com/pgherd/pgherd/internal/observe"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/sdnotify"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/internal/store/records"
)

// Agent is one member's running parts.
type Agent struct {
	o           Options
	id          Identity
	pki         pki.Dir
	store       *etcd.Store
	records     store.Store // the same, timed
	prefix      string      // of all generations' keys
	storeConfig etcd.Config
	voter       *voter // nil with an external store
	warden      *wardenLink
	server      *act.Server // nil on a witness
	observer    *observe.Observer
	runner      *act.Runner
	jobs        *act.Jobs
	journal     *journal.Journal
	peers       *peer.Client
	api         *api.Server
	major       int        // PostgreSQL's here; 0 on a witness
	keeper      *keeper    // of forks; nil on a witness
	announcer   *announcer // nil on a witness
	metrics     *metrics.Metrics
	outward     *outward             // nil: nobody outside is shown this member's role
	endpoints   *endpoints           // nil without them
	supervisor  *sdnotify.Supervisor // nil: not systemd's

	newest atomic.Pointer[journal.Entry] // of this process; the journal's own may be of the last one
	memory core.Memory
	gen    generation
	kept   *kept
	ours   atomic.Bool  // the store's last answer was of the store that this member belongs to
	began  core.Instant // of this process
	proof  invariants

	failed     core.StepFailure
	wake       chan struct{}
	detaching  atomic.Bool
	again      atomic.Bool // the process begins anew when the loop has ended
	switching  sync.Mutex
	recovering sync.Mutex
	founding   atomic.Uint64 // the generation that others are being asked to leave theirs for
	stopSince  atomic.Int64  // unix nanoseconds; 0: not told to stop
	mountKnown bool
}

// serve runs all parts until ctx ends and PostgreSQL is stopped, or until detached.
func (a *Agent) serve(ctx context.Context, detach <-chan os.Signal) error {
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	parts, background := errgroup.WithContext(background)
	a.begin(parts, background)
	stopping, stop := context.WithCancel(background)
	defer stop()
	parts.Go(func() error {
		select {
		case <-ctx.Done():
			a.leave(stop)
		case <-detach:
			a.o.Log.Info("leaving PostgreSQL running under the warden")
			a.detaching.Store(true)
			a.poke()
		case <-background.Done():
			// A part has failed. A new process is better than a stop: PostgreSQL runs on
			// under the warden until the deadline, and the supervisor starts us again.
			a.detaching.Store(true)
			a.poke()
		}
		return nil
	})
	a.loop(stopping)
	if !a.detaching.Load() && !a.again.Load() {
		a.endpoints.stop(a)
	}
	cancel()
	err := parts.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, a.farewell())
}

// begin starts all parts but the loop.
func (a *Agent) begin(parts *errgroup.Group, ctx context.Context) {
	parts.Go(func() error { return a.watch(ctx) })
	parts.Go(func() error { return a.renewCertificates(ctx) })
	parts.Go(func() error { return a.api.Serve(ctx) })
	if a.warden != nil {
		parts.Go(func() error { return a.warden.keep(ctx) })
	}
	if a.keeper != nil {
		parts.Go(func() error { return a.keeper.keep(ctx) })
		parts.Go(func() error { return a.announcer.keep(ctx) })
		if a.o.Config.Log.WithDefaults().Postgres == spec.LogStream {
			follower := &logs.Follower{Path: filepath.Join(a.o.Config.StateDir, "postgres.log"), Log: a.o.Log}
			parts.Go(func() error { return follower.Keep(ctx) })
		}
	}
	if a.outward != nil {
		parts.Go(func() error { return a.outward.keep(ctx) })
	}
	if a.voter != nil {
		parts.Go(func() error { return a.voter.keep(ctx, a) })
	}
	if a.endpoints != nil {
		parts.Go(a.endpoints.begin(ctx))
	}
	parts.Go(func() error { return a.kept.keep(ctx) })
	parts.Go(func() error { return a.followOthers(ctx) })
	if a.gen.Number == 0 && a.id.First && !a.hasFounded() {
		parts.Go(func() error { return a.found(ctx) })
	}
	if a.founds() {
		parts.Go(func() error { return a.refound(ctx) })
	}
}

// leave begins the agent's end: detached, or with PostgreSQL stopped.
func (a *Agent) leave(stop context.CancelFunc) {
	if a.o.DetachOnExit {
		a.o.Log.Info("leaving PostgreSQL running under the warden")
		a.detaching.Store(true)
		a.poke()
		return
	}
	a.o.Log.Info("stopping: PostgreSQL is stopped, a primary hands over first if it can")
	a.supervisor.Stopping("stopping PostgreSQL; a primary hands over first if it can")
	a.stopSince.Store(time.Now().UnixNano())
	stop()
}

// farewellMax bounds the end of the warden, which has nothing left to do then.
const farewellMax = 3 * time.Second

// farewell ends the warden when there is nothing left for it to guard.
func (a *Agent) farewell() error {
	if a.warden == nil || a.detaching.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewellMax)
	defer cancel()
	if c := a.warden.client(); c != nil && c.Status().Empty {
		return c.Quit(ctx)
	}
	return nil
}

// watch turns hints from the store and the warden into ticks.
func (a *Agent) watch(ctx context.Context) error {
	for range a.store.Watch(ctx, a.concerns) {
		a.poke()
	}
	return nil
}

// concerns says whether a change of a record is worth a tick: not the echo of our own renewal, and what poolers say
// only to who drives a handover. (Three poolers write nine times in one, and a tick asks everybody.)
func (a *Agent) concerns(key string) bool {
	switch {
	case key == records.KeyLease:
		return !a.observer.Store.JustRenewed()
	case strings.HasPrefix(key, records.PoolerPrefix):
		s := a.latest().View.Store
		return s.Lease.Holder == a.o.Config.Name && s.Operation != nil && !s.Operation.Certificate.Whole
	}
	return true
}

// publish writes the tick down and shows it to the API and the other members.
func (a *Agent) publish(e journal.Entry) {
	was := a.latest().View.Local.Instance
	a.newest.Store(&e)
	a.outward.poke()
	if a.keeper != nil && e.View.Local.Instance.Streaming && !was.Streaming {
		a.keeper.changed() // what was saved can have its names now
	}
	a.journal.Record(e)
	if a.announcer != nil {
		a.announcer.see(e)
	}
	a.rememberMount(e.View)
	if e.Outcome != "" {
		a.o.Log.Warn("step failed", "error", e.Outcome)
	}
}

func (a *Agent) close() {
	if a.jobs != nil {
		a.jobs.Stop()
	}
	if a.warden != nil {
		a.warden.close()
	}
	if a.server != nil {
		a.server.DB.Close()
	}
	if a.observer != nil && a.observer.Local != nil {
		a.observer.Local.Close()
	}
	if a.api != nil {
		a.api.Close()
	}
	a.peers.Close()
	_ = a.store.Close()
	if a.voter != nil {
		a.voter.close()
	}
	a.journal.Close()
}
