package agent

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/rebuild"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// member is an agent without its running parts, in an empty state directory.
func member(t *testing.T, g uint64) *Agent {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	j, err := journal.Open(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	a := &Agent{o: Options{Config: spec.Member{Name: "n1", StateDir: dir}, Log: log}, id: Identity{ClusterID: "id", Member: "n1", Ordinal: 1},
		gen: generation{Number: g}, journal: j, wake: make(chan struct{}, 1), kept: openKept(dir, log)}
	a.voter = &voter{stateDir: dir, log: log}
	return a
}

// holding is a snapshot of a store of this generation.
func holding(t *testing.T, g uint64, revision int64, lease string) (store.Snapshot, core.StoreView) {
	t.Helper()
	s := store.Snapshot{Revision: revision, Entries: map[string]store.Entry{
		records.KeyLease: {Value: []byte(lease), Revision: revision},
		"tokens/x":       {Value: []byte(`{"secret":1}`), Revision: revision},
	}}
	cluster := `{"id":"id","name":"main"}`
	if g > 0 {
		cluster = strings.Replace(cluster, "}", `,"generation":`+string(rune('0'+g))+`}`, 1)
	}
	s.Entries[records.KeyCluster] = store.Entry{Value: []byte(cluster), Revision: revision}
	v, err := records.Decode(s, "n1")
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func wait(t *testing.T, what string, so func() bool) {
	t.Helper()
	for began := time.Now(); !so(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("not after 10 s: %s", what)
		}
	}
}

// A store is believed when it is the one that this member belongs to, and no other.
func TestOnlyTheOwnStoreIsBelieved(t *testing.T) {
	a := member(t, 1)
	s, v := holding(t, 1, 7, `{"holder":"n2","term":3}`)
	if err := a.check(s, v); err != nil || !a.ours.Load() || !a.kept.of(1) {
		t.Errorf("its own: %v", err)
	}
	s, v = holding(t, 0, 9000, `{"holder":"n3","term":9}`)
	if err := a.check(s, v); err == nil || a.ours.Load() || a.kept.newest().Revision != 7 {
		t.Errorf("one that was replaced: %v", err)
	}
	if err := a.check(store.Snapshot{Revision: 1}, core.StoreView{Known: true}); !errors.Is(err, errEmptyStore) {
		t.Errorf("one that lost its records: %v", err)
	}
	if _, empty := a.kept.silence(time.Time{}); !empty || a.again.Load() {
		t.Error("an empty store is not told, or leads to something")
	}
}

// Before a cluster is founded its store is empty, and that is no loss.
func TestAnEmptyStoreIsNoLossBeforeTheFounding(t *testing.T) {
	a := member(t, 0)
	if err := a.check(store.Snapshot{Revision: 1}, core.StoreView{Known: true}); err != nil {
		t.Error(err)
	}
	s, v := holding(t, 0, 7, `{}`)
	if err := errors.Join(a.check(s, v), a.check(store.Snapshot{Revision: 9}, core.StoreView{Known: true})); !errors.Is(err, errEmptyStore) {
		t.Errorf("afterwards it is one: %v", err)
	}
}

// A newer store is gone over to, once, and for good: what is on disk says so before anything else is done.
func TestANewerStoreIsGoneOverTo(t *testing.T) {
	a := member(t, 0)
	s, v := holding(t, 2, 7, `{}`)
	if err := a.check(s, v); !errors.Is(err, errSuperseded) {
		t.Fatal(err)
	}
	wait(t, "it begins anew", a.again.Load)
	g, err := loadGeneration(a.o.Config.StateDir)
	if err != nil || g.Number != 2 || g.Founder != "" || !a.detaching.Load() || !a.voter.retired {
		t.Errorf("%+v %v", g, err)
	}
	if err := a.voter.start(t.Context(), a.voter.config); err == nil {
		t.Error("its old share of the store can be started")
	}
	if err := a.switchTo(generation{Number: 3}, "x"); err == nil {
		t.Error("on its way to one generation it promises itself to another")
	}
	if e := a.journal.Events(1); len(e) != 1 || e[0].Code != journal.EventRecovery {
		t.Errorf("events %+v", e)
	}
	a.gen = g
	if a.founds() {
		t.Error("who only joins a store must not found it")
	}
}

// A promise is for a later generation only, and to the one who founds it.
func TestRetireIsRefused(t *testing.T) {
	a := member(t, 3)
	if err := a.switchTo(generation{Number: 3, Founder: "n2"}, "x"); err == nil || a.again.Load() {
		t.Errorf("a promise for its own generation: %v", err)
	}
	if err := os.WriteFile(filepath.Join(a.o.Config.StateDir, generationFile), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadGeneration(a.o.Config.StateDir); err == nil {
		t.Error("what cannot be read counts as the oldest store")
	}
}

// Each generation has keys and files of its own: a write that was meant for an old store can hit nothing of
// a new one.
func TestGenerationsShareNothing(t *testing.T) {
	seen := map[string]bool{}
	for n := range uint64(3) {
		g := generation{Number: n}
		for _, name := range []string{g.prefix("/pgherd/id"), "store" + g.suffix()} {
			if seen[name] {
				t.Errorf("%s is used twice", name)
			}
			seen[name] = true
		}
	}
	if !seen["/pgherd/id"] || !seen["store"] {
		t.Error("clusters of older versions would not find theirs")
	}
}

// The copy is written when it matters, survives a restart, and holds no tokens.
func TestKeptCopy(t *testing.T) {
	a := member(t, 0)
	k := a.kept
	see := func(revision int64, lease string) bool {
		s, v := holding(t, 0, revision, lease)
		if err := a.check(s, v); err != nil {
			t.Fatal(err)
		}
		select {
		case <-k.dirty:
			return true
		default:
			return false
		}
	}
	if !see(7, `{"holder":"n2","term":3,"beat":1,"lsn":"0/1"}`) || see(8, `{"holder":"n2","term":3,"beat":2,"lsn":"0/2"}`) {
		t.Error("a beat is worth a write, or a lease is not")
	}
	if !see(9, `{"holder":"n2","term":3,"beat":3,"sync":{"members":["n1"],"k":1}}`) || see(5, `{"holder":"n9","term":1}`) {
		t.Error("a sync set is not worth a write, or an old answer is")
	}
	k.vote([]string{"n1", "n2"})
	if err := k.write(); err != nil {
		t.Fatal(err)
	}
	again := openKept(a.o.Config.StateDir, a.o.Log)
	s := again.newest()
	if s == nil || s.Revision != 9 || len(s.Voters) != 2 || s.Entries["tokens/x"] != nil || again.view().Lease.Holder != "n2" {
		t.Errorf("after a restart: %+v", s)
	}
	if info, err := os.Stat(k.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

// A promise to a founder that makes nothing of it is taken back, once the founder says so; a founder that has
// left does not found any more.
func TestPromiseThatComesToNothing(t *testing.T) {
	a := member(t, 0)
	promised := generation{Number: 1, Founder: "n2"}
	if err := a.switchTo(promised, "x"); err != nil {
		t.Fatal(err)
	}
	begin := func() {
		t.Helper()
		var err error
		if a.gen, err = loadGeneration(a.o.Config.StateDir); err != nil {
			t.Fatal(err)
		}
		a.again.Store(false)
	}
	begin()
	for _, still := range []peer.Status{{Name: "n2", Belongs: 1}, {Name: "n2", Founding: 1}} {
		if err := a.goBack(still); err != nil || a.again.Load() {
			t.Errorf("it goes back although %+v", still)
		}
	}
	if err := a.goBack(peer.Status{Name: "n2"}); err != nil || !a.again.Load() {
		t.Fatalf("it stays: %v", err)
	}
	if begin(); a.gen.Number != 0 {
		t.Errorf("it goes back to %+v", a.gen)
	}
	// As a founder, on its way, that another one takes along.
	if err := a.switchTo(generation{Number: 1, Founder: "n1", Records: map[string]rebuild.Raw{"cluster": rebuild.Raw("{}")}}, "x"); err != nil {
		t.Fatal(err)
	}
	if begin(); !a.founds() {
		t.Fatal("it does not found")
	}
	if err := a.switchTo(generation{Number: 2, Founder: "n3"}, "x"); err != nil {
		t.Fatal(err)
	}
	begin()
	if err := a.goBack(peer.Status{Name: "n3"}); err != nil {
		t.Fatal(err)
	}
	if begin(); a.gen.Number != 0 || a.founds() {
		t.Errorf("it goes back to %+v", a.gen)
	}
}
