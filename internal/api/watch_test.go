package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
)

func TestEndpointsShape(t *testing.T) {
	f := newFixture(t)
	f.put(records.PoolerPrefix+"n1", core.PoolerRecord{Name: "n1", Address: "127.0.0.1", RWPort: 6432, ROPort: 6433, Beat: 7, Target: "n1", Clients: 3})
	f.put(records.PoolerPrefix+"p1", core.PoolerRecord{Name: "p1", Address: "127.0.0.2"}) // does not run
	delete(f.known, "n3")
	var got json.RawMessage
	if err := f.local().call(context.Background(), http.MethodGet, "/v1/endpoints", nil, &got); err != nil {
		t.Fatal(err)
	}
	const want = `{"cluster":"main","id":"0b6ad7f1-6b1b-4c1e-9d5e-0a4f3c7a9d11","epoch":4,"state":"ready","durable":false,` +
		`"rw":{"member":"n1","address":"127.0.0.1","port":5432},` +
		`"ro":[{"member":"n2","address":"127.0.0.1","port":5433,"lag_bytes":256}],` +
		`"poolers":[{"name":"n1","address":"127.0.0.1","rw_port":6432,"ro_port":6433,"target":"n1"}],` +
		`"members":[{"name":"n1","role":"primary","state":"running"},{"name":"n2","role":"standby","state":"streaming"},{"name":"n3","role":"standby","state":"unreachable"}]}`
	if string(got) != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEndpointsStates(t *testing.T) {
	primary := core.Instance{State: core.StateRunning, Primary: true}
	for _, c := range []struct {
		want   string
		holder core.Instance
		change func(*core.StoreView)
	}{
		{EndpointsReady, primary, func(*core.StoreView) {}},
		{EndpointsStarting, core.Instance{State: core.StateStopped}, func(*core.StoreView) {}},
		{EndpointsStarting, primary, func(v *core.StoreView) { v.Lease.Released = true }},
		{EndpointsAbsent, core.Instance{}, func(v *core.StoreView) { v.Cluster.SystemID = "" }},
		{EndpointsReady, primary, func(v *core.StoreView) { v.Operation.Phase = core.PhaseRequested }},
		{EndpointsSwitching, primary, func(v *core.StoreView) { v.Operation.Phase = core.PhaseHolding }},
		{EndpointsSwitching, core.Instance{}, func(v *core.StoreView) { v.Operation.Phase = core.PhaseStopping }},
		{EndpointsReady, primary, func(v *core.StoreView) { v.Operation.Phase, v.Operation.From = core.PhaseStopping, "n2" }}, // it leads already
		{EndpointsReady, primary, func(v *core.StoreView) { v.Operation.Phase = core.PhaseAborted }},
	} {
		v := core.StoreView{Known: true, Lease: core.LeaseRecord{Holder: "n1", Term: 4}, Members: []core.MemberRecord{{Name: "n1", PGPort: 5432}}}
		v.Cluster.SystemID, v.Operation = "77", &core.Operation{Kind: core.OpSwitchover, From: "n1", Phase: core.PhaseDone}
		c.change(&v)
		e := journal.Entry{View: core.View{Self: "n1", Store: v, Local: core.Local{Instance: c.holder}}}
		if got := seen(e).State; got != c.want {
			t.Errorf("got %s, want %s: %+v", got, c.want, v)
		}
	}
	v := core.StoreView{Lease: core.LeaseRecord{Holder: "n1"}, Members: []core.MemberRecord{{Name: "n1"}, {Name: "n2"}, {Name: "w1", Witness: true}}}
	v.Spec.Durability, v.Spec.SyncStandbys = spec.DurabilitySync, 2
	if durable(v) {
		t.Error("no standby confirms, and commits count as kept")
	}
	if v.Lease.Sync.K = 1; !durable(v) {
		t.Error("the only standby confirms; more cannot be had")
	}
	v.Members = append(v.Members, core.MemberRecord{Name: "n3"})
	if durable(v) {
		t.Error("one confirms where the spec asks for two, and there are two")
	}
	if v.Spec.Durability = spec.DurabilityAsync; !durable(v) {
		t.Error("async asks for nobody")
	}
	e := entry("n1", 4)
	e.Report.Conditions = []core.Condition{{Code: core.CondDegraded}}
	if got := seen(e).State; got != EndpointsDegraded {
		t.Errorf("got %s, want degraded", got)
	}
}

// entry is a tick of n1 in which leader leads the term.
func entry(leader string, term uint64) journal.Entry {
	v := core.View{Self: "n1", Store: core.StoreView{
		Known: true, Lease: core.LeaseRecord{Holder: leader, Term: term}, Cluster: core.ClusterRecord{ID: clusterID, SystemID: "77"},
		Members: []core.MemberRecord{{Name: "n1", Address: "10.0.0.1", PGPort: 5432}, {Name: "n2", Address: "10.0.0.2", PGPort: 5432}},
	}}
	v.Local.Instance = core.Instance{State: core.StateRunning, Primary: leader == "n1", Streaming: leader != "n1"}
	v.Peers = []core.Peer{{Name: "n2", Known: true, Instance: core.Instance{State: core.StateRunning, Primary: leader == "n2", Streaming: leader != "n2"}}}
	return journal.Entry{At: time.Now(), View: v}
}

// watch gives the events as they come; the test's end ends it.
func (f *fixture) watch(c *Client, last string) <-chan WatchEvent {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events := make(chan WatchEvent)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := c.Watch(ctx, last, func(e WatchEvent) error {
			select {
			case events <- e:
			case <-ctx.Done():
			}
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			f.t.Errorf("the watch ended: %v", err)
		}
	}()
	f.t.Cleanup(func() { cancel(); <-ended })
	return events
}

func next(t *testing.T, events <-chan WatchEvent) WatchEvent {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(5 * time.Second):
		t.Fatal("no event")
		return WatchEvent{}
	}
}

func (f *fixture) watchers() int {
	f.s.hub.mu.Lock()
	defer f.s.hub.mu.Unlock()
	return len(f.s.hub.watchers)
}

func TestWatchTellsChangesAndWhatWasMissed(t *testing.T) {
	f := newFixture(t)
	record := func(e journal.Entry) { f.b.Journal.Record(e) }
	local, member := f.watch(f.local(), ""), f.watch(f.remote(pair(t, f.ca, "n2")), "")
	for f.watchers() < 2 {
		time.Sleep(time.Millisecond)
	}
	record(entry("n1", 4))
	e := next(t, local)
	if e.Name != EventSnapshot || e.RW == nil || e.RW.Member != "n1" || e.Epoch != 4 || e.State != EndpointsReady || !strings.HasPrefix(e.ID, "4.") {
		t.Fatalf("%+v", e)
	}
	if other := next(t, member); other.ID != e.ID {
		t.Errorf("a member sees %+v", other)
	}
	lag := entry("n1", 4)
	lag.View.Store.Lease.LSN = 99
	record(lag) // no news
	gone, degraded, cloning := entry("n1", 4), entry("n2", 5), entry("n2", 5)
	gone.View.Local.Instance = core.Instance{State: core.StateStopped}
	degraded.Report.Conditions = []core.Condition{{Code: core.CondDegraded}}
	cloning.Report.Conditions = degraded.Report.Conditions
	cloning.View.Local.Job = core.Job{Kind: string(core.StepClone), Running: true}
	for _, step := range []struct {
		is   journal.Entry
		want string
	}{{gone, EventNoPrimary}, {entry("n2", 5), EventPrimary}, {degraded, EventState}, {cloning, EventMembers}} {
		record(step.is) // one by one: ticks that come at once may make one event
		if got := next(t, local); got.Name != step.want {
			t.Errorf("got %+v, want %s", got, step.want)
		}
	}
	// Who comes back hears what it missed; with an unknown id, what is so.
	back := f.watch(f.local(), e.ID)
	if first := next(t, back); first.Name != EventNoPrimary {
		t.Errorf("missed: %+v", first)
	}
	for _, id := range []string{"4.00000000.1", "x", e.ID + "9", ""} {
		if s := next(t, f.watch(f.local(), id)); s.Name != EventSnapshot || s.Epoch != 5 || s.RW.Member != "n2" || s.Members[0].State != StateCloning {
			t.Errorf("id %q: %+v", id, s)
		}
	}
}

// A command that follows a kill must not be told of the primary that was killed: what a watch tells was asked for after it began.
func TestWatchTellsWhatWasAskedForAfterItBegan(t *testing.T) {
	second := core.Instant(time.Second)
	came := make(chan struct{})
	var looks atomic.Int32
	f := newFixture(t, func(b *Backend) {
		b.Boot = func() core.Instant { close(came); return 2 * second }
		b.Look = func() { looks.Add(1) }
	})
	at := func(t core.Instant, age time.Duration, e journal.Entry) {
		e.View.Now, e.View.Peers[0].Age = t, age
		f.b.Journal.Record(e)
	}
	at(second, 0, entry("n1", 4))
	events := f.watch(f.local(), "")
	<-came
	at(3*second, 1500*time.Millisecond, entry("n1", 5)) // n2's answer is from before
	at(3*second, 1500*time.Millisecond, entry("n1", 6))
	silent := entry("n2", 7)
	silent.View.Peers[0].Err = "no answer"
	at(4*second, 3*time.Second, silent)
	if e := next(t, events); e.Epoch != 7 {
		t.Errorf("told what was so before: %+v", e)
	}
	if looks.Load() == 0 {
		t.Error("the loop was left to look when it likes")
	}
	for _, c := range []struct {
		peer core.Peer
		want core.Instant
	}{
		{core.Peer{Known: true, Age: time.Second}, 8 * second},
		{core.Peer{Known: true, Age: time.Second, Err: "silent"}, 9 * second},
		{core.Peer{}, 0},
	} {
		if got := asked(core.View{Now: 9 * second, Peers: []core.Peer{c.peer, {Known: true}}}); got != c.want {
			t.Errorf("%+v: got %d, want %d", c.peer, got, c.want)
		}
	}
}

func TestWatchersAreBoundedAndSlowOnesDropped(t *testing.T) {
	h := newHub()
	h.publish(Endpoints{Epoch: 1}, 0)
	slow, first, err := h.join("")
	if err != nil || len(first) != 1 {
		t.Fatal(first, err)
	}
	for i := range uint64(eventsWaiting + 1) {
		h.publish(Endpoints{Epoch: i + 2}, 0)
	}
	n := 0
	for range slow.events {
		n++
	}
	if n != eventsWaiting || len(h.watchers) != 0 {
		t.Errorf("%d events, %d watchers left", n, len(h.watchers))
	}
	for range watchersMax {
		if _, _, err := h.join(""); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := h.join(""); asProblem(err).Code != "too_many_watchers" {
		t.Errorf("one too many: %v", err)
	}
	for range 3 * eventsKept {
		h.publish(Endpoints{Epoch: uint64(time.Now().UnixNano())}, 0)
	}
	if len(h.kept) != eventsKept {
		t.Errorf("%d events kept", len(h.kept))
	}
	h.close()
	if _, _, err := h.join(""); asProblem(err).Code != "stopping" || len(h.watchers) != 0 {
		t.Errorf("after the end: %v, %d watchers", err, len(h.watchers))
	}
}

func TestWatchIsForMembers(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]*Client{"no certificate": f.remote(nil), "client certificate": f.remote(clientPair(t, f.ca, "n2"))} {
		var p *Problem
		err := c.Watch(context.Background(), "", func(WatchEvent) error { return io.EOF })
		if !errors.As(err, &p) || p.Code != CodeForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}
