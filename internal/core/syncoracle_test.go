package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
	"pgregory.net/rapid"
)

// The rule of sync.go against a dumb oracle. The real Decide drives a primary whose
// world is as unkind as it may be: clients are told of a commit as soon as any
// configuration that may still be in effect permits it, a write of the lease may fail,
// or seem to fail and take effect later, reloads lag, members come and go, the agent
// forgets everything. After each event the oracle counts: whoever the set in the lease
// lets decide an election must have, among them, everything that was acknowledged.

type historyMember struct {
	flush     int // commits 1..flush are on its disk
	streaming bool
}

type appliedConf struct {
	set SyncSet
	at  Instant
}

type history struct {
	now      Instant
	rev      int64
	set      SyncSet // R, in the store
	late     *Step   // a write of the lease whose outcome was not learned
	confs    []appliedConf
	stale    bool // facts still show the configuration before the newest
	confKey  string
	job      Job
	members  []historyMember
	end      int // newest commit
	acked    int // newest acknowledged commit: with it all before it
	mem      Memory
	k        int
	strict   bool
	async    bool
	noSync   bool // the last member is tagged no_sync
	lastPlan string
}

func newHistory(members int) history {
	h := history{now: Instant(time.Hour), rev: 1, k: 1, end: 1}
	h.members = make([]historyMember, members)
	h.confs = []appliedConf{{SyncSet{}, h.now}}
	h.acknowledge()
	return h
}

func memberName(i int) string { return string(rune('b' + i)) }

func (h history) clone() history {
	h.confs, h.members = slices.Clone(h.confs), slices.Clone(h.members)
	return h
}

func (h *history) view() View {
	v := View{Now: h.now, Self: "a"}
	s := &v.Store
	s.Known, s.ReadAt = true, h.now
	s.Cluster = ClusterRecord{ID: "id", SystemID: "7"}
	s.Spec = testSpec()
	s.Spec.SyncStandbys, s.Spec.Strict = h.k, h.strict
	if h.async {
		s.Spec.Durability = spec.DurabilityAsync
	}
	s.Lease, s.LeaseRevision = LeaseRecord{Holder: "a", Term: 1, Beat: uint64(h.rev), Sync: h.set}, h.rev
	s.RenewedTerm, s.RenewedAt = 1, h.now-Instant(500*time.Millisecond) // trusted, and no renewal due
	shown := h.confs[len(h.confs)-1].set
	if h.stale {
		shown = h.confs[0].set
	}
	i := Instance{State: StateRunning, Primary: true, SystemID: "7", Timeline: 1, CheckpointTimeline: 1, Roles: true,
		WriteLSN: lsnOf(h.end), SyncNames: shown.Members, SyncK: shown.K}
	s.Members = []MemberRecord{{Name: "a", Ordinal: 1}}
	for n, m := range h.members {
		name := memberName(n)
		last := n == len(h.members)-1
		s.Members = append(s.Members, MemberRecord{Name: name, Ordinal: n + 2, Tags: spec.Tags{NoSync: last && h.noSync}})
		i.Slots = append(i.Slots, Slot{Name: spec.SlotName(name)})
		if m.streaming {
			i.Senders = append(i.Senders, Sender{Member: name, Streaming: true, FlushLSN: lsnOf(m.flush)})
		}
		v.Peers = append(v.Peers, Peer{Name: name, Known: true, Instance: Instance{State: StateRunning, SystemID: "7"}})
	}
	v.Local = Local{ReadAt: v.Now, Warden: Warden{Alive: true, Deadline: h.now.Add(time.Second), Term: 1}, Instance: i, ConfKey: h.confKey,
		Data: Data{State: DataPresent, ClusterID: "id", SystemID: "7"}, Job: h.job}
	return v
}

func lsnOf(commit int) wal.LSN { return wal.LSN(100 * (commit + 1)) }

// The outcomes of a write of the lease.
const (
	written = iota
	notWritten
	writtenLater
)

func (h *history) tick(outcome int) {
	plan, mem, _ := Decide(h.mem, h.view())
	h.mem = mem
	h.lastPlan = ""
	for _, s := range plan.Steps {
		h.lastPlan += string(s.Kind) + " "
		switch s.Kind {
		case StepPutLease:
			if outcome == writtenLater {
				h.late = &s
			}
			if outcome != written {
				return // the first failure ends the tick
			}
			h.putLease(s)
		case StepCheckpoint:
			h.job = Job{Kind: string(s.Kind), ID: s.ID, EndedAt: h.now}
		case StepConfigure:
			h.confs = append(h.confs, appliedConf{s.Conf.Sync, h.now})
			h.confKey = s.Conf.Key()
		}
	}
}

func (h *history) putLease(s Step) {
	if s.Expect == h.rev {
		h.rev++
		h.set = s.Lease.Sync
	}
}

func (h *history) pass(d time.Duration) {
	h.now = h.now.Add(d)
	// All backends have read a configuration settleTime after it was written.
	for len(h.confs) > 1 && h.now.Sub(h.confs[1].at) >= settleTime {
		h.confs = slices.Delete(h.confs, 0, 1)
	}
	if len(h.confs) == 1 {
		h.stale = false
	}
}

func (h *history) acknowledge() {
	for _, c := range h.confs {
		if len(c.set.Members) == 0 {
			h.acked = h.end
			continue
		}
		var flushed []int
		for n, m := range h.members {
			if slices.Contains(c.set.Members, memberName(n)) {
				flushed = append(flushed, m.flush)
			}
		}
		slices.Sort(flushed)
		if at := len(flushed) - c.set.K; at >= 0 && at < len(flushed) {
			h.acked = max(h.acked, min(flushed[at], h.end))
		}
	}
}

// lost names a set of members that may elect and lacks an acknowledged commit.
func (h *history) lost() string {
	var lacking []string
	for n, m := range h.members {
		if slices.Contains(h.set.Members, memberName(n)) && m.flush < h.acked {
			lacking = append(lacking, memberName(n))
		}
	}
	if len(h.set.Members) > 0 && len(lacking) >= h.set.mustHear() {
		return fmt.Sprintf("the lease says commits are on %s, so %v may elect, but commit %d, acknowledged, is on none of them", h.set.text(), lacking, h.acked)
	}
	return ""
}

type event struct {
	name string
	can  func(h *history) bool
	do   func(h *history)
}

func always(*history) bool { return true }

func events(members int) []event {
	list := []event{
		{"tick", always, func(h *history) { h.tick(written) }},
		{"tick, its lease write fails", always, func(h *history) { h.tick(notWritten) }},
		{"tick, its lease write seems to fail", func(h *history) bool { return h.late == nil }, func(h *history) { h.tick(writtenLater) }},
		{"the late write takes effect", func(h *history) bool { return h.late != nil && h.late.Expect == h.rev }, func(h *history) { h.putLease(*h.late); h.late = nil }},
		{"commit", func(h *history) bool { return h.end == h.acked }, func(h *history) { h.end++ }},
		{"0.3 s pass", always, func(h *history) { h.pass(settleTime) }},
		{"6 s pass", always, func(h *history) { h.pass(6 * time.Second) }},
		{"facts lag", func(h *history) bool { return len(h.confs) > 1 && !h.stale }, func(h *history) { h.stale = true }},
		{"the agent restarts", func(h *history) bool { return h.confKey != "" }, func(h *history) { h.mem, h.confKey = Memory{}, "" }},
	}
	for n := range members {
		name := memberName(n)
		list = append(list,
			event{name + " flushes", func(h *history) bool { return h.members[n].streaming && h.members[n].flush < h.end }, func(h *history) { h.members[n].flush = h.end }},
			event{name + " streams or stops", always, func(h *history) { h.members[n].streaming = !h.members[n].streaming }},
		)
	}
	return list
}

// specEvents change what the user wants, in the middle of it all.
func specEvents() []event {
	return []event{
		{"sync_standbys changes", always, func(h *history) { h.k = 3 - h.k }},
		{"strict changes", always, func(h *history) { h.strict = !h.strict }},
		{"durability changes", always, func(h *history) { h.async = !h.async }},
		{"no_sync changes", always, func(h *history) { h.noSync = !h.noSync }},
	}
}

// key is equal for states that have the same futures.
func (h *history) key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d|", h.set.text(), h.end-h.acked)
	if h.late != nil && h.late.Expect == h.rev {
		b.WriteString(h.late.Lease.Sync.text())
	}
	for _, c := range h.confs {
		fmt.Fprintf(&b, "|%s %v", c.set.text(), h.now.Sub(c.at) >= settleTime)
	}
	fmt.Fprintf(&b, "|%v %v %v", h.stale, h.confKey != "", h.mem.Proof.On)
	for _, m := range h.members {
		fmt.Fprintf(&b, "|%d %v", min(h.end-m.flush, 2), m.streaming)
	}
	p := h.mem.Proof
	fmt.Fprintf(&b, "|%s %v %d", p.Names, h.now.Sub(p.Since) >= settleTime, int(lsnOf(h.end))-int(p.LSN))
	for n := range h.members {
		at, ok := h.mem.SeenBad["sync:"+memberName(n)]
		fmt.Fprintf(&b, "|%v %v", ok, ok && h.now.Sub(at) >= 5*time.Second)
	}
	return b.String()
}

// All histories of a primary and two standbys up to a length, each state once.
func TestSyncSetEveryShortHistory(t *testing.T) {
	depth := 10
	if testing.Short() {
		depth = 8
	}
	type trail struct {
		h    history
		from *trail
		by   string
	}
	told := func(at *trail) (text string) {
		for ; at != nil; at = at.from {
			text = "  " + at.by + "\n" + text
		}
		return text
	}
	seen := map[string]bool{}
	level := []*trail{{h: newHistory(2), by: "start"}}
	list := events(2)
	for range depth {
		var next []*trail
		for _, at := range level {
			for _, e := range list {
				h := at.h.clone()
				if !e.can(&h) {
					continue
				}
				e.do(&h)
				h.acknowledge()
				to := &trail{h, at, fmt.Sprintf("%-36s R=%s, P=%s, acked %d of %d", e.name, h.set.text(), h.confs[len(h.confs)-1].set.text(), h.acked, h.end)}
				if lost := h.lost(); lost != "" {
					t.Fatalf("%s\n%s", lost, told(to))
				}
				if key := h.key(); !seen[key] {
					seen[key] = true
					next = append(next, to)
				}
			}
		}
		level = next
	}
	t.Logf("%d states, %d at the last level", len(seen), len(level))
	if !slices.ContainsFunc(level, func(at *trail) bool { return len(at.h.set.Members) == 2 }) && !testing.Short() {
		t.Fatal("no history reached a set of two members: the histories are too short to show anything")
	}
}

// Long random histories with three standbys and a changing spec.
func TestSyncSetLongHistories(t *testing.T) {
	list := slices.Concat(events(3), specEvents())
	weights := []event{list[0], list[0], list[0], list[5], list[4]} // mostly it simply goes on
	list = append(list, weights...)
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(3)
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, len(list)-1), 20, 120).Draw(t, "events") {
			if e := list[n]; e.can(&h) {
				e.do(&h)
				h.acknowledge()
				t.Logf("%-36s R=%s, P=%s, acked %d of %d", e.name, h.set.text(), h.confs[len(h.confs)-1].set.text(), h.acked, h.end)
			}
			if lost := h.lost(); lost != "" {
				t.Fatal(lost)
			}
		}
	})
}

// And it must come to something: with all standbys streaming and time passing, the set
// is what the spec asks for, whatever went before.
func TestSyncSetArrives(t *testing.T) {
	list := slices.Concat(events(3), specEvents())
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(3)
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, len(list)-1), 0, 60).Draw(t, "events") {
			if e := list[n]; e.can(&h) {
				e.do(&h)
				h.acknowledge()
			}
		}
		for range 30 {
			for n := range h.members {
				h.members[n] = historyMember{flush: h.end, streaming: true}
			}
			h.tick(written)
			h.pass(settleTime)
			h.acknowledge()
		}
		want := SyncSet{Members: []string{"b", "c", "d"}, K: h.k}
		if h.noSync {
			want.Members = want.Members[:2]
		}
		if h.async {
			want = SyncSet{}
		}
		if p := h.confs[len(h.confs)-1].set; h.set.text() != want.text() || p.text() != want.text() {
			t.Fatalf("the lease says %s and PostgreSQL waits for %s; want %s", h.set.text(), p.text(), want.text())
		}
	})
}

// play runs named events and fails on the first loss.
func play(t *testing.T, h *history, names ...string) {
	t.Helper()
	list := slices.Concat(events(len(h.members)), specEvents())
	for _, name := range names {
		n := slices.IndexFunc(list, func(e event) bool { return e.name == name })
		if n < 0 || !list[n].can(h) {
			t.Fatalf("event %q is not possible now", name)
		}
		list[n].do(h)
		h.acknowledge()
		t.Logf("%-36s R=%s, P=%s, acked %d of %d; %s", name, h.set.text(), h.confs[len(h.confs)-1].set.text(), h.acked, h.end, h.lastPlan)
		if lost := h.lost(); lost != "" {
			t.Fatal(lost)
		}
	}
}

// both leads to two standbys in sync.
var both = []string{"b streams or stops", "c streams or stops", "b flushes", "c flushes", "tick", "0.3 s pass", "tick", "0.3 s pass", "tick", "tick"}

// A member's tag changes back and forth within one reload: PostgreSQL is told to wait for
// it and told not to, while the facts show nothing of it. What is proven of the smaller
// set must not outlive that.
func TestSyncSetProofEndsWithTheNextConfiguration(t *testing.T) {
	h := newHistory(2)
	play(t, &h, both...)
	play(t, &h, "no_sync changes", "tick", "0.3 s pass", "tick", "0.3 s pass", "tick", "tick, its lease write fails")
	if h.mem.Proof.LSN == 0 || h.confs[len(h.confs)-1].set.text() != "any 1 of b" || h.set.text() != "any 1 of b, c" {
		t.Fatalf("R=%s, proof %+v", h.set.text(), h.mem.Proof)
	}
	play(t, &h, "no_sync changes", "tick", "facts lag", "no_sync changes", "commit", "c flushes", "tick", "tick", "tick")
}

// All standbys are lost, commits go on alone, the same standbys return: what was proven
// before the gap says nothing about the commits in it.
func TestSyncSetProofEndsWithAGap(t *testing.T) {
	h := newHistory(2)
	play(t, &h, both...)
	play(t, &h, "b streams or stops", "c streams or stops", "tick", "6 s pass", "tick", "tick", "0.3 s pass", "commit")
	if h.acked != 2 {
		t.Fatalf("commits must go on alone: acked %d", h.acked)
	}
	play(t, &h, "b streams or stops", "c streams or stops", "tick", "0.3 s pass", "tick", "tick", "tick")
}

// A write of the lease that seemed to fail takes effect late: PostgreSQL must not be
// told of a larger set in between.
func TestSyncSetLateWrite(t *testing.T) {
	h := newHistory(2)
	play(t, &h, both...)
	play(t, &h, "c streams or stops", "tick", "6 s pass", "tick", "0.3 s pass", "tick", "0.3 s pass", "tick", "tick, its lease write seems to fail")
	if h.late == nil || h.late.Lease.Sync.text() != "any 1 of b" {
		t.Fatalf("want the smaller set under way, have %+v", h.late)
	}
	play(t, &h, "c streams or stops", "tick")
	if h.late.Expect == h.rev {
		play(t, &h, "the late write takes effect")
	}
	play(t, &h, "commit", "c flushes")
}

// The four orders, one by one, for those who read: what grows, grows in the lease first;
// what shrinks, shrinks in PostgreSQL first; k the other way round.
func TestSyncSetOrder(t *testing.T) {
	settle := []string{"tick", "0.3 s pass", "tick", "0.3 s pass", "tick", "tick"}
	t.Run("grows in the lease first", func(t *testing.T) {
		h := newHistory(2)
		play(t, &h, append([]string{"b streams or stops", "b flushes"}, settle...)...)
		play(t, &h, "c streams or stops", "c flushes", "tick", "commit", "c flushes", "0.3 s pass", "tick", "commit")
		if h.set.text() != "any 1 of b, c" || h.end != 3 {
			t.Fatalf("R=%s, %d commits", h.set.text(), h.end)
		}
	})
	t.Run("shrinks in PostgreSQL first", func(t *testing.T) {
		h := newHistory(2)
		play(t, &h, both...)
		play(t, &h, "commit", "c flushes", "c streams or stops", "tick", "6 s pass", "tick", "0.3 s pass", "tick", "0.3 s pass", "tick", "tick")
		if h.set.text() != "any 1 of b, c" {
			t.Fatalf("R=%s before b has what c confirmed", h.set.text())
		}
		play(t, &h, "b flushes", "tick")
		if h.set.text() != "any 1 of b" {
			t.Fatalf("R=%s", h.set.text())
		}
	})
	t.Run("ends in the lease first", func(t *testing.T) {
		h := newHistory(2)
		play(t, &h, both...)
		play(t, &h, "b streams or stops", "c streams or stops", "tick", "6 s pass", "commit", "tick", "tick")
		if h.set.text() != "nobody else" || h.acked != h.end {
			t.Fatalf("R=%s, acked %d of %d", h.set.text(), h.acked, h.end)
		}
	})
	t.Run("k grows in PostgreSQL first and shrinks in the lease first", func(t *testing.T) {
		h := newHistory(2)
		play(t, &h, both...)
		play(t, &h, "commit", "b flushes", "sync_standbys changes")
		play(t, &h, settle...)
		if h.set.text() != "any 1 of b, c" {
			t.Fatalf("R=%s before c has everything", h.set.text())
		}
		play(t, &h, "c flushes", "tick")
		if h.set.text() != "any 2 of b, c" {
			t.Fatalf("R=%s", h.set.text())
		}
		play(t, &h, "sync_standbys changes", "commit", "b flushes", "tick", "tick")
		if h.set.text() != "any 1 of b, c" || h.acked != h.end {
			t.Fatalf("R=%s, acked %d of %d", h.set.text(), h.acked, h.end)
		}
	})
}
