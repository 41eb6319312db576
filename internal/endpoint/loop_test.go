package endpoint

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/mem"
	"github.com/pgherd/pgherd/internal/store/records"
)

// host is the endpoints of n1 in a cluster of three.
type host struct {
	t       *testing.T
	store   store.Store
	source  *slowSource
	servers map[string]*fakeServer
	rw, ro  *fakePooler
	began   time.Time
	loop    *Loop
	end     func()
}

var targets = map[string]pooler.Target{"n1": {Host: "10.0.0.1", Port: 5432}, "n2": {Host: "10.0.0.2", Port: 5432}, "n3": {Host: "10.0.0.3", Port: 5432}}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, store: mem.New(), servers: map[string]*fakeServer{}, rw: newFake(), ro: newFake(), began: time.Now()}
	h.source = &slowSource{Source: StoreSource{Store: h.store, Self: "n1"}}
	h.put(records.KeySpec, spec.DefaultCluster())
	h.put(records.KeyCluster, core.ClusterRecord{SystemID: "1"})
	for i, name := range []string{"n1", "n2", "n3"} {
		h.servers[name] = &fakeServer{}
		h.servers[name].set(true, i == 0)
		h.put(records.MemberPrefix+name, core.MemberRecord{Name: name, Ordinal: i + 1, Address: targets[name].Host, PGPort: 5432})
	}
	h.lease("n1", 5)
	h.start()
	t.Cleanup(func() { h.end() })
	h.await("the first route", func() bool { return h.record().Target == "n1" && len(h.record().Readers) == 2 })
	return h
}

func (h *host) start() {
	h.loop = New(Config{
		Name: "n1", Address: "10.0.0.1", RWPort: 6432, ROPort: 6433, Member: true, Source: h.source,
		Dial: func(_ context.Context, m core.MemberRecord) (Session, error) { return h.servers[m.Name].dial() },
		Open: func(readOnly bool, _ spec.Pooler) (pooler.Pooler, error) {
			f := h.rw
			if readOnly {
				f = h.ro
			}
			if f.missing {
				return nil, pooler.ErrMissing
			}
			return f, nil
		},
		Now: func() core.Instant { return core.Instant(time.Since(h.began)) + 1 },
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.loop.Run(ctx) }()
	h.end = func() { cancel(); <-done }
}

func (h *host) put(key string, record any) {
	h.t.Helper()
	s, err := h.store.Snapshot(context.Background())
	if err == nil {
		_, err = records.Put(context.Background(), h.store, key, record, s.Entries[key].Revision)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) lease(holder string, term uint64) {
	h.t.Helper()
	h.put(records.KeyLease, core.LeaseRecord{Holder: holder, Term: term})
}

func (h *host) operation(phase string) {
	h.t.Helper()
	h.put(records.KeyOperation, core.Operation{ID: "op1", Kind: core.OpSwitchover, From: "n1", To: "n2", Term: 5, Phase: phase})
}

func (h *host) record() (r core.PoolerRecord) {
	h.t.Helper()
	s, err := h.store.Snapshot(context.Background())
	if e, ok := s.Entries[records.PoolerPrefix+"n1"]; err == nil && ok {
		err = json.Unmarshal(e.Value, &r)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *host) await(what string, so func() bool) {
	h.t.Helper()
	for began := time.Now(); !so(); time.Sleep(200 * time.Microsecond) {
		if time.Since(began) > 10*time.Second {
			h.t.Fatalf("not after 10s: %s\nread-write: %v\nread-only: %v\nrecord: %+v\nplan: %+v", what, h.rw.log(), h.ro.log(), h.record(), h.loop.Plan())
		}
	}
}

func (h *host) calls(f *fakePooler, want ...string) {
	h.t.Helper()
	if got := f.log(); !slices.Equal(got, want) {
		h.t.Errorf("asked of the pooler:\n%q, want\n%q", got, want)
	}
}

func did(f *fakePooler, call string) func() bool {
	return func() bool { return slices.Contains(f.log(), call) }
}

func TestRoutesAndTells(t *testing.T) {
	h := newHost(t)
	r := h.record()
	if r.Term != 5 || r.RWPort != 6432 || r.ROPort != 6433 || r.Address != "10.0.0.1" || r.Version != "1.25.0" || r.Text != "" || r.Hold != nil {
		t.Errorf("%+v", r)
	}
	if s, _ := h.ro.State(context.Background()); !slices.Equal(s.Targets, []pooler.Target{targets["n2"], targets["n3"]}) {
		t.Errorf("readers go to %v", s.Targets)
	}
}

// A failover: clients are held when the primary's session ends, and let go within milliseconds of the promotion.
func TestAFailoverIsFollowedAtOnce(t *testing.T) {
	h := newHost(t)
	h.rw.forget()
	began := time.Now()
	h.servers["n1"].set(false, false)
	h.await("a hold", did(h.rw, "pause"))
	held := time.Since(began)
	h.lease("n2", 6)
	h.await("looks in a hurry", func() bool {
		s := h.servers["n2"]
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.looks > 5
	})
	promoted := time.Now()
	h.servers["n2"].set(true, true)
	h.await("clients let go", did(h.rw, "resume"))
	t.Logf("held %s after the session's end, let go %s after the promotion", held, time.Since(promoted))
	if d := time.Since(promoted); d > 100*time.Millisecond {
		t.Errorf("let go after %s", d)
	}
	h.await("the record", func() bool { return h.record().Target == "n2" && h.record().Term == 6 })
	h.await("stale ones dropped", did(h.rw, "drop stale[10.0.0.2:5432]"))
	h.calls(h.rw, "hold", "pause", "route[10.0.0.2:5432]", "resume", "drop stale[10.0.0.2:5432]") // hold: each moment costs clients
	h.await("readers", func() bool { return slices.Equal(h.record().Readers, []string{"n3"}) })
}

func TestASwitchoverIsAnsweredInTheRecord(t *testing.T) {
	h := newHost(t)
	h.rw.forget()
	h.rw.open(1)
	h.operation(core.PhaseHolding)
	h.await("a pause", did(h.rw, "pause"))
	if r := h.record(); r.Hold != nil {
		t.Errorf("%+v: nothing is to be told before all have drained", r.Hold)
	}
	h.rw.open(0)
	h.await("held", func() bool { hold := h.record().Hold; return hold != nil && hold.State == core.HoldHeld })
	h.await("the candidate told ahead", did(h.rw, "route[10.0.0.2:5432]"))
	held := h.record().Beat
	h.operation(core.PhaseStopping)
	h.servers["n1"].set(false, false)
	h.lease("n2", 6)
	if slices.Contains(h.rw.log(), "resume") {
		t.Error("clients are let go before the candidate accepts writes")
	}
	h.servers["n2"].set(true, true)
	h.await("over", func() bool { r := h.record(); return r.Hold.State == core.HoldOver && r.Target == "n2" })
	if beat := h.record().Beat; beat != held+1 {
		t.Errorf("the record was written %d times from when clients were held until they had been let go; each time all members read the store", beat-held)
	}
	if a := h.record().Hold; a.Clients != 4 || a.HeldMS <= 0 || a.Operation != "op1" {
		t.Errorf("%+v", a)
	}
}

// A primary that is being stopped for a handover is asked for no session until the handover is through: its postmaster
// would have to make a process for each, and to wait for its end.
func TestAPrimaryThatIsStoppedIsLeftInPeace(t *testing.T) {
	h := newHost(t)
	h.operation(core.PhaseHolding)
	h.await("held", func() bool { hold := h.record().Hold; return hold != nil && hold.State == core.HoldHeld })
	h.operation(core.PhaseStopping)
	h.await("spared", func() bool { return slices.Equal(h.loop.Plan().Spare, []string{"n1"}) })
	was := h.servers["n1"].dialed()
	h.servers["n1"].set(false, false)
	h.lease("n2", 6)
	looks := h.servers["n2"].looked()
	h.await("a hurry to see the candidate write", func() bool { return h.servers["n2"].looked() > looks+10 })
	if n := h.servers["n1"].dialed() - was; n > 0 {
		t.Errorf("it was asked for a session %d times", n)
	}
	h.servers["n2"].set(true, true)
	h.await("let go", did(h.rw, "resume"))
	h.servers["n1"].set(true, false)
	h.await("a session again", func() bool { return h.servers["n1"].dialed() > was })
	h.await("it among the readers", func() bool { return slices.Equal(h.record().Readers, []string{"n1", "n3"}) })
}

// A store that hangs delays nobody: what the members say is enough to let clients go.
func TestAStoreThatHangsDelaysNobody(t *testing.T) {
	h := newHost(t)
	h.source.hang(true)
	h.rw.forget()
	h.servers["n1"].set(false, false)
	h.await("a hold", did(h.rw, "pause"))
	h.servers["n1"].set(true, true)
	h.await("clients let go", did(h.rw, "resume"))
	h.calls(h.rw, "hold", "pause", "resume")
	h.source.hang(false)
	h.await("the record", func() bool { return h.record().Target == "n1" })
}

// A rebuilt store counts its revisions anew: a host that goes on beside it must not insist on those of the old one.
func TestARebuiltStoreIsWrittenTo(t *testing.T) {
	h := newHost(t)
	for term := range uint64(20) {
		h.lease("n1", 6+term)
	}
	h.await("a record of a high revision", func() bool { return h.record().Term == 25 })
	old, _ := h.store.Snapshot(context.Background())
	h.rw.forget()
	h.store = mem.New()
	for key, e := range old.Entries {
		if key != records.KeyCluster {
			h.put(key, json.RawMessage(e.Value))
		}
	}
	h.put(records.KeyCluster, core.ClusterRecord{SystemID: "1", Generation: 1})
	h.source.become(StoreSource{Store: h.store, Self: "n1"})
	h.lease("n1", 40)
	h.await("a record in the new store", func() bool { return h.record().Term == 40 })
	h.calls(h.rw) // clients notice nothing
}

// A record that somebody has taken away is written again at once: the primary lets in only who has one.
func TestARecordTakenAwayComesBack(t *testing.T) {
	h := newHost(t)
	s, _ := h.store.Snapshot(context.Background())
	began := time.Now()
	for key := records.PoolerPrefix + "n1"; ; s, _ = h.store.Snapshot(context.Background()) {
		if err := h.store.Delete(context.Background(), key, s.Entries[key].Revision); err == nil {
			break
		}
	}
	h.lease("n1", 5) // so that it looks; it has nothing new to tell
	h.await("a record", func() bool { return h.record().Name == "n1" })
	if took := time.Since(began); took > core.PoolerBeat/2 {
		t.Errorf("after %s", took)
	}
}

func TestTheNextLoopTakesOver(t *testing.T) {
	h := newHost(t)
	h.end()
	h.rw.forget()
	h.ro.forget()
	beat := h.record().Beat
	h.source.hang(true) // it comes up before it can read the store
	h.start()
	h.await("a decision", func() bool { return h.loop.Plan().RW.Keep })
	h.source.hang(false)
	h.await("a record", func() bool { return h.record().Beat > beat })
	for _, call := range slices.Concat(h.rw.log(), h.ro.log()) {
		if !strings.HasPrefix(call, "ensure[10.0.0.") {
			t.Errorf("%q: clients would notice", call)
		}
	}
}

// An agent that is killed while it holds clients must not make the handover fail: the next one has to hear,
// too, when all have drained.
func TestTheNextLoopGoesOnWithAHold(t *testing.T) {
	h := newHost(t)
	h.rw.open(1)
	h.operation(core.PhaseHolding)
	h.await("a pause", did(h.rw, "pause"))
	h.end()
	h.rw.forget()
	h.start()
	h.await("the pause asked for once more", did(h.rw, "pause"))
	if slices.Contains(h.rw.log(), "resume") {
		t.Error("clients were let go")
	}
	h.rw.open(0)
	h.await("held", func() bool { hold := h.record().Hold; return hold != nil && hold.State == core.HoldHeld })
}

// While clients are held for it, an operation writes several times until they can go on: what follows at once is one reading.
func TestAHeldHostReadsALittleLater(t *testing.T) {
	h := newHost(t)
	after := func() (took time.Duration) {
		for range 3 { // a reading that was due anyway may come between
			reads, began := h.source.read(), time.Now()
			h.put("news", 1)
			h.await("a reading", func() bool { return h.source.read() > reads })
			took = max(took, time.Since(began))
		}
		return took
	}
	h.operation(core.PhaseHolding)
	h.await("held", func() bool { hold := h.record().Hold; return hold != nil && hold.State == core.HoldHeld })
	if took := after(); took < heldRest {
		t.Errorf("read %s after the hint, want %s", took, heldRest)
	}
	h.lease("n2", 6)
	h.servers["n1"].set(false, false)
	h.servers["n2"].set(true, true)
	h.await("the move", did(h.rw, "resume"))
	h.operation(core.PhaseDone)
	h.await("an end", func() bool { return h.loop.Hold().State == core.HoldOver })
	quickest := time.Hour
	for range 20 {
		reads, began := h.source.read(), time.Now()
		h.put("news", 1)
		h.await("a reading", func() bool { return h.source.read() > reads })
		quickest = min(quickest, time.Since(began))
	}
	if quickest >= heldRest {
		t.Errorf("nobody is held, and it read %s after the hint at the earliest", quickest)
	}
}

// A program that dies is started again; while clients are to wait, without a place to send them to.
func TestADeadPoolerIsStartedAgain(t *testing.T) {
	h := newHost(t)
	h.rw.forget()
	h.rw.die()
	h.await("a new one", did(h.rw, "ensure[10.0.0.1:5432]"))
	h.operation(core.PhaseHolding)
	h.await("held", func() bool { r := h.record(); return r.Hold != nil && r.Hold.State == core.HoldHeld })
	h.rw.forget()
	h.rw.die()
	h.await("a new one", did(h.rw, "route[10.0.0.2:5432]"))
	h.calls(h.rw, "dies", "ensure[]", "pause", "route[10.0.0.2:5432]") // it lets nobody through yet
	h.operation(core.PhaseAborted)
	h.await("clients let go", did(h.rw, "resume"))
	h.calls(h.rw, "dies", "ensure[]", "pause", "route[10.0.0.2:5432]", "route[10.0.0.1:5432]", "resume")
}

func TestForceEndsWhatIsOpen(t *testing.T) {
	h := newHost(t)
	h.rw.open(2)
	h.put(records.KeyOperation, core.Operation{ID: "op1", Kind: core.OpSwitchover, From: "n1", To: "n2", Term: 5, Phase: core.PhaseHolding, Force: true, MaxWaitMS: 50})
	h.await("held", func() bool { r := h.record(); return r.Hold != nil && r.Hold.State == core.HoldHeld })
	if a := h.record().Hold; a.Errors != 2 {
		t.Errorf("%+v", a)
	}
}

func TestWithoutForceTheHoldFails(t *testing.T) {
	h := newHost(t)
	h.rw.open(1)
	h.put(records.KeyOperation, core.Operation{ID: "op1", Kind: core.OpSwitchover, From: "n1", To: "n2", Term: 5, Phase: core.PhaseHolding, MaxWaitMS: 250})
	h.await("failed", func() bool {
		r := h.record()
		return r.Hold != nil && r.Hold.State == core.HoldFailed && r.Target == "n1"
	})
	if a := h.record().Hold; len(a.Blockers) != 1 || !strings.Contains(a.Blockers[0], "backend 7") {
		t.Errorf("%+v", a)
	}
}

func TestSwitchedOffAndRemoved(t *testing.T) {
	h := newHost(t)
	c := spec.DefaultCluster()
	c.Pooler.Off = true
	h.put(records.KeySpec, c)
	gone := func() bool { return h.record().Name == "" && !h.rw.up() && !h.ro.up() }
	h.await("no endpoints", gone)
	h.put(records.KeySpec, spec.DefaultCluster())
	h.await("endpoints", func() bool { return h.record().Target == "n1" })
	s, _ := h.store.Snapshot(context.Background())
	if err := h.store.Delete(context.Background(), records.MemberPrefix+"n1", s.Entries[records.MemberPrefix+"n1"].Revision); err != nil {
		t.Fatal(err)
	}
	h.await("no endpoints of who was removed", gone)
}

func (f *fakePooler) up() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

func TestStopTakesTheRecordBack(t *testing.T) {
	h := newHost(t)
	h.end()
	if !h.rw.up() {
		t.Error("the end of the loop is the end of the pooler")
	}
	if err := h.loop.Stop(context.Background()); err != nil || h.rw.up() || h.ro.up() || h.record().Name != "" {
		t.Errorf("%v, record %+v", err, h.record())
	}
}

// What clients have begun ends before the endpoint does; what does not end keeps it for a while only.
func TestStopLetsTransactionsEnd(t *testing.T) {
	for name, ends := range map[string]bool{"one that ends": true, "one that does not": false} {
		h := newHost(t)
		h.end()
		h.rw.open(1)
		h.rw.forget()
		stopped := make(chan error)
		began := time.Now()
		go func() { stopped <- h.loop.Stop(context.Background()) }()
		h.await("the pause", func() bool { return slices.Contains(h.rw.log(), "pause") })
		if !h.rw.up() {
			t.Errorf("%s: the endpoint ended with a transaction open", name)
		}
		if ends {
			h.rw.open(0)
		}
		if err := <-stopped; err != nil || h.rw.up() || !slices.Equal(h.rw.log(), []string{"pause", "stop"}) {
			t.Errorf("%s: %v, %v", name, err, h.rw.log())
		}
		if took := time.Since(began); ends == (took >= settleMax) {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

func TestAMissingProgramIsSaid(t *testing.T) {
	h := newHost(t)
	h.end()
	h.rw.missing, h.ro.missing = true, true
	h.rw.running, h.ro.running = false, false
	h.start()
	h.await("the condition", func() bool {
		return slices.ContainsFunc(h.loop.Conditions(), func(c core.Condition) bool { return c.Code == core.CondPoolerMissing })
	})
	h.await("the record", func() bool { r := h.record(); return r.Target == "" && strings.Contains(r.Text, "not installed") })
	h.operation(core.PhaseHolding) // nobody is served, so nobody has to be waited for
	h.await("held", func() bool { r := h.record(); return r.Hold != nil && r.Hold.State == core.HoldHeld })
}
