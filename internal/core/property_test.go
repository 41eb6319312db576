package core

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
	"pgregory.net/rapid"
)

// What holds for every view, also one that no cluster ever had.

// law is one property of a decision. It gives the empty string or what is wrong.
type law struct {
	name  string
	check func(mem Memory, v View, plan Plan, r Report) string
}

var laws = []law{
	{"a start as primary and a promotion need a trusted lease and carry its guard", lawGuarded},
	{"initdb only by the one member that may, into nothing, under the lease", lawInit},
	{"the lease is taken only when it is vacant", lawTake},
	{"whoever is elected has every commit that was acknowledged", lawElected},
	{"the lease is given away only when nothing here can write", lawRelease},
	{"a primary without a lease is fenced", lawFence},
	{"at most one disruptive step", lawOneDisruptive},
	{"a watchdog that is required is there before anything is writable", lawWatched},
	{"paused: nothing disruptive but a fence, unless the agent ends", lawPaused},
	{"an idle tick in an unhealthy state has a reason", lawReason},
	{"nothing is written with an old revision or term", lawExpect},
	{"PostgreSQL is told another set only after a write of the lease, and never a set outside of it", lawSync},
	{"a promoted member waits for standbys from its first write on", lawPromoteConf},
	{"the next look is not in the past and not far away", lawWake},
}

func steps(plan Plan, kinds ...StepKind) (out []Step) {
	for _, s := range plan.Steps {
		if slices.Contains(kinds, s.Kind) {
			out = append(out, s)
		}
	}
	return out
}

func trustEnd(v View) Instant {
	s := v.Store
	if s.LeaseRevision == 0 || s.Lease.Holder != v.Self || s.Lease.Released || s.RenewedTerm != s.Lease.Term || s.RenewedAt == 0 {
		return 0
	}
	return s.RenewedAt.Add(writtenTiming(s).TTL.D() - writtenTiming(s).Margin.D())
}

// writtenTiming: everybody goes by what the holder wrote, not by what the spec says by now.
func writtenTiming(s StoreView) spec.Lease {
	if s.Lease.TTL == 0 {
		return s.Spec.Lease
	}
	return spec.Lease{TTL: s.Lease.TTL, Margin: s.Lease.Margin}
}

func lawGuarded(_ Memory, v View, plan Plan, _ Report) string {
	for _, s := range steps(plan, StepPromote, StepStart) {
		if s.Kind == StepStart && s.Standby {
			continue
		}
		end := trustEnd(v)
		if v.Now >= end && s.Kind == StepPromote && renewsBefore(plan, s, v) {
			end = v.Now.Add(writtenTiming(v.Store).TTL.D() - writtenTiming(v.Store).Margin.D())
		}
		if v.Now >= end || s.Guard.Deadline != end || s.Guard.Term != v.Store.Lease.Term {
			return fmt.Sprintf("%s with guard %+v; trust ends at %d, now is %d", s.Kind, s.Guard, end, v.Now)
		}
	}
	return ""
}

// renewsBefore: our own lease of this term, never renewed by this agent, is renewed before the step
// in the same plan, which ends where that fails; the renewal is sent after v.Now.
func renewsBefore(plan Plan, step Step, v View) bool {
	for _, s := range plan.Steps {
		if l := s.Lease; s.Kind == StepPutLease {
			return l.Holder == v.Self && l.Term == v.Store.Lease.Term && !l.Released && s.Expect == v.Store.LeaseRevision && v.Store.RenewedTerm != l.Term
		}
		if s.Kind == step.Kind {
			return false
		}
	}
	return false
}

func lawInit(_ Memory, v View, plan Plan, _ Report) string {
	c := v.Store.Cluster
	may := c.SystemID == "" && c.BootstrapBy == v.Self && v.Local.Data.State == DataAbsent && v.Now < trustEnd(v) &&
		v.Local.Warden.Alive && v.Local.Warden.Empty
	if len(steps(plan, StepInit)) > 0 && !may {
		return "initdb is planned"
	}
	return ""
}

// vacantFor is the rule in plain words, written a second time.
func vacantFor(v View) bool {
	s := v.Store
	return s.LeaseRevision == 0 || s.Lease.Released || v.Now.Sub(s.LeaseSeenAt) >= writtenTiming(s).TTL.D()
}

func lawTake(_ Memory, v View, plan Plan, _ Report) string {
	for _, s := range steps(plan, StepPutLease) {
		old, next := v.Store.Lease, s.Lease
		switch {
		case next.Term == old.Term && old.Holder == v.Self && next.Beat == old.Beat+1: // renewal or release
		case next.Term == old.Term+1 && next.Holder == v.Self && vacantFor(v): // taken
		case next.Term == old.Term+1 && next.Holder != v.Self && v.Now < trustEnd(v): // handed over
		default:
			return fmt.Sprintf("the lease %+v becomes %+v", old, *next)
		}
		if wrong := firstSet(v, *next); next.Term != old.Term && wrong != "" {
			return wrong
		}
	}
	return ""
}

// firstSet: a new term may only count on members that were seen to have everything.
func firstSet(v View, next LeaseRecord) string {
	if n := len(next.Sync.Members); n > 0 && (next.Sync.K < 1 || next.Sync.K > n || v.Store.Spec.Durability != spec.DurabilitySync) {
		return "the first set is " + next.Sync.text()
	}
	for _, name := range next.Sync.Members {
		if name == v.Self && next.Holder != v.Self {
			continue // the old primary, cleanly stopped
		}
		i := slices.IndexFunc(v.Peers, func(p Peer) bool { return p.Name == name })
		if i < 0 || name == next.Holder || !v.Peers[i].Known || v.Peers[i].Err != "" || v.Peers[i].Age >= peerFresh || !v.Peers[i].Instance.Standby() {
			return "the first set counts on " + name
		}
		p, mine := v.Peers[i].Instance.Position(), v.Local.Instance
		equal := next.Holder == v.Self && p == mine.Position()
		received := next.Holder != v.Self && p.Timeline == mine.CheckpointTimeline && p.LSN > mine.Checkpoint
		if !equal && !received {
			return "the first set counts on " + name + ", which may lack something"
		}
	}
	return ""
}

// lawElected restates R + W > N: the members who were heard, are no further than this one
// and can confirm nothing more, are enough of the set; or the last holder is among them;
// or this member reached the end that a clean stop left.
func lawElected(_ Memory, v View, plan Plan, _ Report) string {
	l, i, op := v.Store.Lease, v.Local.Instance, v.Store.Operation
	for _, s := range steps(plan, StepPutLease) {
		if s.Lease.Term == l.Term || s.Lease.Holder != v.Self || v.Store.Cluster.SystemID == "" {
			continue
		}
		if op != nil && op.Kind == OpFailover && op.Force && op.To == v.Self {
			continue // a person accepted the loss
		}
		if !i.Standby() || i.Receiver || !i.ReplayDone {
			return "this member may still receive, or does not know how far it is"
		}
		have := []string{v.Self}
		for _, p := range v.Peers {
			still := p.Known && p.Err == "" && p.Age < peerFresh && p.Vacant && p.Term == l.Term && p.Beat == l.Beat
			if still && p.Instance.Standby() && p.Instance.Position().Compare(i.Position()) <= 0 {
				have = append(have, p.Name)
			}
		}
		n := 0
		for _, name := range l.Sync.Members {
			if slices.Contains(have, name) {
				n++
			}
		}
		enough := len(l.Sync.Members) > 0 && n+l.Sync.K > len(l.Sync.Members)
		final := l.Final.LSN != 0 && i.Timeline == l.Final.Timeline && i.Position().LSN > l.Final.LSN
		async := v.Store.Spec.Durability == spec.DurabilityAsync && l.LSN.Sub(i.Position().LSN) <= v.Store.Spec.MaxLagBytes
		if !enough && !final && !async && !slices.Contains(have, l.Holder) {
			return fmt.Sprintf("have %v, the set is %s", have, l.Sync.text())
		}
	}
	return ""
}

func lawRelease(_ Memory, v View, plan Plan, _ Report) string {
	for _, s := range steps(plan, StepPutLease) {
		given := s.Lease.Released || s.Lease.Holder != v.Self
		clean := v.Local.Instance.Control == "shut down"
		if given && !(v.Local.Warden.Alive && v.Local.Warden.Empty) && !(clean && !s.Lease.Released) {
			return "the lease is given away while processes exist"
		}
		if s.Lease.Holder != v.Self && !clean {
			return "the lease is handed over without a clean stop"
		}
		if given && v.Now >= trustEnd(v) {
			return "the lease is given away without trust in it"
		}
	}
	return ""
}

func lawFence(_ Memory, v View, plan Plan, _ Report) string {
	w, s := v.Local.Warden, v.Store
	member := slices.ContainsFunc(s.Members, func(m MemberRecord) bool { return m.Name == v.Self && !m.Witness })
	if !s.Known || !member || !v.Local.Instance.Primary || v.Local.Instance.State != StateRunning || !w.Alive || w.Empty {
		return ""
	}
	ours := s.LeaseRevision > 0 && s.Lease.Holder == v.Self && !s.Lease.Released
	held := ours && (v.Now < trustEnd(v) || w.Deadline > v.Now && w.Term == s.Lease.Term)
	if fenced := len(steps(plan, StepFence)) > 0; fenced == held {
		return fmt.Sprintf("fenced %v, held %v", fenced, held)
	}
	if !held && plan.Steps[0].Kind != StepFence {
		return "the fence waits for another step"
	}
	return ""
}

func lawOneDisruptive(_ Memory, _ View, plan Plan, _ Report) string {
	n := 0
	for _, s := range plan.Steps {
		if s.Disruptive() {
			n++
		}
	}
	if n > 1 {
		return fmt.Sprintf("%d disruptive steps", n)
	}
	return ""
}

// lawWatched: with a watchdog that is required and not there, nothing makes this member lead.
func lawWatched(_ Memory, v View, plan Plan, r Report) string {
	dog := v.Local.Warden.Watchdog
	if !dog.Required || dog.State == WatchdogActive {
		return ""
	}
	for _, s := range plan.Steps {
		if s.Kind == StepPromote || s.Kind == StepStart && !s.Standby {
			return string(s.Kind) + " without the watchdog"
		}
		if s.Kind == StepPutLease && s.Lease.Term > v.Store.Lease.Term && s.Lease.Holder == v.Self && dog.State != WatchdogReady {
			return "takes the lease without the watchdog"
		}
	}
	return ""
}

func lawPaused(_ Memory, v View, plan Plan, _ Report) string {
	for _, s := range plan.Steps {
		if v.Store.Paused && !v.Stopping && s.Disruptive() && s.Kind != StepFence {
			return string(s.Kind) + " while paused"
		}
	}
	return ""
}

// healthy: this member is what it should be, and nothing is to be told.
func healthy(v View) bool {
	i, me := v.Local.Instance, slices.IndexFunc(v.Store.Members, func(m MemberRecord) bool { return m.Name == v.Self })
	switch {
	case !v.Store.Known || me < 0:
		return false
	case v.Store.Members[me].Witness:
		return true
	case v.Stopping && v.Local.Warden.Alive && v.Local.Warden.Empty:
		return true
	case v.Now < trustEnd(v):
		return i.Primary && i.State == StateRunning
	}
	return i.Standby() && i.Streaming && !vacantFor(v)
}

func lawReason(_ Memory, v View, plan Plan, r Report) string {
	if len(plan.Steps) == 0 && len(r.Reasons) == 0 && len(r.Conditions) == 0 && !healthy(v) {
		return "nothing is done and nothing is said"
	}
	for _, s := range plan.Steps {
		if s.Why.Code == "" || s.Why.Text == "" {
			return string(s.Kind) + " without a reason"
		}
	}
	for _, reason := range r.Reasons {
		if reason.Code == "" || reason.Text == "" {
			return "an empty reason"
		}
	}
	for _, c := range r.Conditions {
		if _, _, ok := Catalogued(c.Code); !ok || c.Text == "" {
			return fmt.Sprintf("condition %+v", c)
		}
	}
	return ""
}

func lawExpect(_ Memory, v View, plan Plan, _ Report) string {
	if leases := steps(plan, StepPutLease); len(leases) > 1 || len(leases) == 1 && leases[0].Expect != v.Store.LeaseRevision {
		return "the lease is written twice, or not over what was seen"
	}
	for _, s := range steps(plan, StepPutOperation) {
		if s.Expect != v.Store.OperationRevision || s.Guard.Term != v.Store.Lease.Term {
			return "an operation is written over what was not seen"
		}
	}
	return ""
}

func lawSync(_ Memory, v View, plan Plan, _ Report) string {
	wrote := false
	for _, s := range plan.Steps {
		wrote = wrote || s.Kind == StepPutLease
		if s.Kind != StepConfigure || !v.Local.Instance.Primary {
			continue
		}
		r, p := v.Store.Lease.Sync, s.Conf.Sync
		if put := steps(plan, StepPutLease); len(put) > 0 {
			r = put[0].Lease.Sync
		}
		if !wrote {
			return "PostgreSQL is configured without a write of the lease before"
		}
		shown := SyncSet{Members: v.Local.Instance.SyncNames, K: v.Local.Instance.SyncK}
		if len(r.Members) == 0 || p.text() == shown.text() {
			continue // nobody is permitted; or nothing changes
		}
		for _, name := range p.Members {
			if !slices.Contains(r.Members, name) {
				return fmt.Sprintf("PostgreSQL waits for %s, the lease says %s", p.text(), r.text())
			}
		}
		if p.K < r.K {
			return fmt.Sprintf("PostgreSQL waits for %s, the lease says %s", p.text(), r.text())
		}
	}
	return ""
}

func lawPromoteConf(_ Memory, v View, plan Plan, _ Report) string {
	if len(steps(plan, StepPromote)) == 0 || v.Store.Spec.Durability != spec.DurabilitySync {
		return ""
	}
	for _, s := range steps(plan, StepConfigure) {
		if s.Conf.Follow != "" || len(v.Store.Lease.Sync.Members) > 0 && s.Conf.Sync.text() != v.Store.Lease.Sync.text() {
			return fmt.Sprintf("promoted with follow %q and %s", s.Conf.Follow, s.Conf.Sync.text())
		}
	}
	return ""
}

func lawWake(_ Memory, v View, _ Plan, r Report) string {
	if r.WakeAt < v.Now || r.WakeAt > v.Now.Add(tickIdle) {
		return fmt.Sprintf("wake in %s", r.WakeAt.Sub(v.Now))
	}
	return ""
}

// checkLaws holds a decision against all laws, and against those that need two.
func checkLaws(mem Memory, v View) string {
	before := asJSON(mem)
	plan, after, report := Decide(mem, v)
	if asJSON(mem) != before {
		return "Decide changed its input memory"
	}
	plan2, after2, report2 := Decide(mem, v)
	if !reflect.DeepEqual(plan, plan2) || !reflect.DeepEqual(after, after2) || !reflect.DeepEqual(report, report2) {
		return "Decide is not deterministic"
	}
	for _, l := range laws {
		if wrong := l.check(mem, v, plan, report); wrong != "" {
			return l.name + ": " + wrong
		}
	}
	return lawMemory(mem, v, plan)
}

// lawMemory: losing the memory may delay, never permit. Exactly: with the backoff kept, no
// step of a kind that changes who may write, or that replaces data, is in the plan without
// memory that was not in the plan with it. Without the backoff a start, clone, rewind or
// initdb may be TRIED earlier (each has its own permission, which does not rest on
// memory), but still nobody takes, gives away or promotes who would not.
func lawMemory(mem Memory, v View, with Plan) string {
	if slices.ContainsFunc(with.Steps, func(s Step) bool { return s.Kind == StepFence && s.Why.Code == "promotion_given_up" }) {
		return "" // only the memory knows for how long the promotion has come to nothing
	}
	backoff := Memory{Failures: mem.Failures, RejectedRevision: mem.RejectedRevision}
	without, _, _ := Decide(backoff, v)
	if s, ok := added(with, without, StepPutLease, StepPromote, StepStart, StepInit, StepClone, StepRewind, StepPutCluster, StepMarkGood); ok {
		return "losing the memory permits " + s
	}
	without, _, _ = Decide(Memory{}, v)
	if s, ok := added(with, without, StepPutLease, StepPromote, StepPutCluster); ok {
		return "losing the memory and the backoff permits " + s
	}
	return ""
}

func added(with, without Plan, kinds ...StepKind) (string, bool) {
	for _, s := range steps(without, kinds...) {
		same := func(w Step) bool {
			return w.Kind == s.Kind && w.Standby == s.Standby && leaseChange(w) == leaseChange(s)
		}
		renewal := s.Kind == StepPutLease && s.Why.Code == "renew"
		growth := s.Kind == StepPutLease && s.Why.Code == "sync_set" // judged by the oracle: see TestSyncSet...
		if !renewal && !growth && !slices.ContainsFunc(with.Steps, same) {
			return string(s.Kind) + " " + leaseChange(s), true
		}
	}
	return "", false
}

func leaseChange(s Step) string {
	if s.Lease == nil {
		return ""
	}
	return fmt.Sprint(s.Lease.Holder, s.Lease.Term, s.Lease.Released)
}

func asJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// Arbitrary views: every field at a few values, nil where nil is possible.

var names = []string{"a", "b", "c", "x"}

func pick[T any](t *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

func yes(t *rapid.T, label string) bool { return rapid.Bool().Draw(t, label) }

const drawnNow = Instant(1000 * time.Second)

func drawInstant(t *rapid.T, label string) Instant {
	return pick(t, label, 0, drawnNow.Add(-20*time.Second), drawnNow.Add(-6*time.Second), drawnNow.Add(-time.Second), drawnNow, drawnNow.Add(time.Second))
}

// drawPast: memory is of the past.
func drawPast(t *rapid.T, label string) Instant { return min(drawInstant(t, label), drawnNow) }

func drawLSN(t *rapid.T, label string) wal.LSN {
	return pick(t, label, wal.LSN(0), 0x1000, 0x5000, 0x5100, ^wal.LSN(0))
}

func drawSet(t *rapid.T, label string) SyncSet {
	return pick(t, label, SyncSet{}, SyncSet{[]string{"b"}, 1}, SyncSet{[]string{"b", "c"}, 1}, SyncSet{[]string{"b", "c"}, 2}, SyncSet{[]string{"a", "c"}, 1})
}

func drawInstance(t *rapid.T, label string) Instance {
	i := Instance{
		State:    pick(t, label+" state", StateRunning, StateRunning, StateStopped, StateStarting, StateStopping, StateUnknown),
		SystemID: pick(t, label+" system", "7", "7", "", "8"), Timeline: pick(t, label+" timeline", wal.Timeline(1), 2, 0),
		WriteLSN: drawLSN(t, label+" write"), ReceivedLSN: drawLSN(t, label+" received"), ReplayLSN: drawLSN(t, label+" replay"),
		ReplayDone: yes(t, label+" replayed"), Receiver: yes(t, label+" receiver"), Streaming: yes(t, label+" streaming"),
		Control:    pick(t, label+" control", "in production", "shut down", "in archive recovery", ""),
		Checkpoint: drawLSN(t, label+" checkpoint"), CheckpointTimeline: pick(t, label+" cp timeline", wal.Timeline(1), 2, 0),
		LastRecord: drawLSN(t, label+" last"), OldestWAL: drawLSN(t, label+" oldest"), Roles: yes(t, label+" roles"),
	}
	i.Primary = i.State == StateRunning && yes(t, label+" primary")
	i.History = pick(t, label+" history", wal.History(nil), wal.History{{Timeline: 1, LSN: 0x5000}}, wal.History{{Timeline: 1, LSN: 0x1000}})
	set := drawSet(t, label+" sync")
	i.SyncNames, i.SyncK = set.Members, set.K
	i.Pending = pick(t, label+" pending", nil, []string{"shared_buffers"})
	i.Limits = pick(t, label+" limits", nil, map[string]int{"max_connections": 50}, map[string]int{"max_connections": 500})
	i.PrimaryLimits = pick(t, label+" primary limits", nil, map[string]int{"max_connections": 500})
	for _, name := range []string{"b", "c"} {
		if yes(t, label+" sender "+name) {
			i.Senders = append(i.Senders, Sender{Member: name, Streaming: yes(t, label+" streams"), FlushLSN: drawLSN(t, label+" flush")})
		}
		if yes(t, label+" slot "+name) {
			i.Slots = append(i.Slots, Slot{Name: spec.SlotName(name), Active: yes(t, label+" active"), Lost: yes(t, label+" lost")})
		}
	}
	return i
}

func drawStore(t *rapid.T) StoreView {
	s := StoreView{
		Known: pick(t, "known", true, true, true, false), ReadAt: drawInstant(t, "read at"), Err: pick(t, "store err", "", "", "refused"),
		Cluster:         ClusterRecord{ID: "id", BootstrapBy: pick(t, "bootstrap", "a", "b"), SystemID: pick(t, "cluster system", "7", "7", "7", "")},
		ClusterRevision: 2, SpecRevision: pick(t, "spec revision", int64(3), 4), Spec: testSpec(),
		LeaseRevision: pick(t, "lease revision", int64(50), 50, 50, 0), LeaseSeenAt: drawInstant(t, "seen"),
		OperationRevision: pick(t, "op revision", int64(0), 7), OperationSeenAt: drawInstant(t, "op seen"), Paused: pick(t, "paused", false, false, false, true),
		RenewedTerm: pick(t, "renewed term", uint64(5), 5, 0, 4), RenewedAt: drawInstant(t, "renewed"),
	}
	s.Lease = LeaseRecord{Holder: pick(t, "holder", "a", "a", "b", "x", ""), Term: 5, Beat: 9, Timeline: pick(t, "lease timeline", wal.Timeline(3), 2, 0), Released: pick(t, "released", false, false, true), LSN: drawLSN(t, "lease lsn"), Sync: drawSet(t, "lease sync")}
	if yes(t, "lease has timing") {
		s.Lease.TTL, s.Lease.Margin = pick(t, "ttl", spec.Duration(3*time.Second), spec.Duration(10*time.Second)), spec.Duration(500*time.Millisecond)
	}
	s.Lease.Final = pick(t, "final", wal.Position{}, wal.Position{Timeline: 1, LSN: 0x1000}, wal.Position{Timeline: 2, LSN: 0x5100})
	s.Spec.Durability = pick(t, "durability", spec.DurabilitySync, spec.DurabilitySync, spec.DurabilityAsync)
	s.Spec.SyncStandbys, s.Spec.Strict = pick(t, "k", 1, 1, 2), pick(t, "strict", false, false, true)
	for n, name := range pick(t, "members", names[:3], names[:3], names[:1], nil) {
		s.Members = append(s.Members, MemberRecord{Name: name, Ordinal: n + 1, Witness: pick(t, "witness", false, false, false, true),
			Tags: spec.Tags{NoFailover: pick(t, "no_failover", false, false, true), NoSync: pick(t, "no_sync", false, false, true), Priority: pick(t, "priority", 0, 1)}})
	}
	if yes(t, "has operation") {
		s.Operation = &Operation{ID: pick(t, "op id", "op1", "leave-5"), Kind: pick(t, "op kind", OpSwitchover, OpFailover, OpRestart, "?"), From: pick(t, "from", names...), To: pick(t, "to", "b", "a", "x", ""), Candidate: pick(t, "candidate", "", "b", "a", "x"),
			Phase: pick(t, "phase", PhaseRequested, PhaseStopping, PhaseDone, PhaseAborted), Term: pick(t, "op term", uint64(5), 4), Force: yes(t, "force"), Pending: yes(t, "op pending"), Queue: pick(t, "queue", nil, []string{"b", "a"})}
	}
	if pick(t, "has request", false, false, true) {
		s.Request = &Request{ID: "r1", Kind: pick(t, "request", RequestReinit, RequestRestart), Phase: pick(t, "request phase", PhaseRequested, PhaseStopping), Revision: 8}
	}
	s.Requests = pick(t, "requests", nil, []string{"b"})
	return s
}

func drawJob(t *rapid.T, label string) Job {
	return Job{Kind: pick(t, label+" kind", "", "", string(StepClone), string(StepRewind), string(StepCheckpoint), string(StepInit)), ID: pick(t, label+" id", "r1", "op1", "rewind-5", "leave-5"),
		Running: yes(t, label+" running"), Err: pick(t, label+" err", "", "failed"), EndedAt: drawInstant(t, label+" ended")}
}

func drawView(t *rapid.T) View {
	v := View{Now: drawnNow, Self: pick(t, "self", "a", "a", "b", "x"), Store: drawStore(t), Stopping: pick(t, "stopping", false, false, true)}
	v.Local = Local{ReadAt: pick(t, "read", v.Now, v.Now.Add(-400*time.Millisecond)),
		Warden: Warden{Alive: pick(t, "alive", true, true, true, false), Empty: yes(t, "empty"), Deadline: drawInstant(t, "deadline"), Term: pick(t, "warden term", uint64(5), 4),
			Watchdog: Watchdog{Required: pick(t, "required", false, false, true), State: pick(t, "watchdog", WatchdogOff, WatchdogReady, WatchdogActive, WatchdogAbsent, WatchdogUnavailable), Text: "device", Timeout: pick(t, "timeout", 0, 3*time.Second, time.Minute)},
			Fenced:   yes(t, "fenced"), ExitedAt: drawInstant(t, "exited"), ExitText: pick(t, "exit", "", "signal")},
		Data:     Data{State: pick(t, "data", DataPresent, DataPresent, DataPresent, DataAbsent, DataForeign, DataUnmounted, DataUnknown, DataBroken), ClusterID: pick(t, "data cluster", "id", "id", "other"), SystemID: pick(t, "data system", "7", "7", "8"), Text: "why"},
		Instance: drawInstance(t, "own"), ConfKey: pick(t, "conf", "", "key"), Good: pick(t, "good", nil, map[string]string{"work_mem": "4MB"}), Job: drawJob(t, "own job"),
	}
	for _, name := range names {
		if name == v.Self || pick(t, "absent peer", false, false, false, true) {
			continue
		}
		v.Peers = append(v.Peers, Peer{Name: name, Known: pick(t, "peer known", true, true, false), Age: pick(t, "age", 0, 2*time.Second, 4*time.Second), Err: pick(t, "peer err", "", "", "refused"),
			Instance: drawInstance(t, name), Job: drawJob(t, name+" job"), Term: pick(t, "peer term", uint64(5), 4), Beat: pick(t, "peer beat", uint64(9), 0, 8), Vacant: yes(t, "peer vacant"),
			Stopping: pick(t, "peer stopping", false, false, true), Rejected: pick(t, "rejected", false, false, true), Unwatched: pick(t, "unwatched", false, false, true)})
	}
	return v
}

func drawMemory(t *rapid.T) Memory {
	m := Memory{VacantSince: drawPast(t, "vacant since"), VacantTerm: pick(t, "vacant term", uint64(5), 4), RejectedRevision: pick(t, "rejected revision", int64(0), 3)}
	m.Proof = SyncProof{Names: drawSet(t, "proof").text(), Since: drawPast(t, "proof since"), LSN: drawLSN(t, "proof lsn")}
	if yes(t, "has failures") {
		m.Failures = map[string]Failure{}
		for _, kind := range []StepKind{StepStart, StepClone, StepRewind, StepInit} {
			m.Failures[string(kind)] = Failure{Count: pick(t, "count", 0, 1, 2, 9, -1), At: drawPast(t, "failed at"), Job: drawPast(t, "failed job")}
		}
	}
	if yes(t, "has seen bad") {
		m.SeenBad = map[string]Instant{}
		for _, key := range []string{"sync:b", "sync:c", "streaming", "unknown", "degraded", "peer:b", "quiet", "nothing_pending"} {
			if yes(t, key) {
				m.SeenBad[key] = drawPast(t, key+" since")
			}
		}
	}
	return m
}

func TestLawsHoldForArbitraryViews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem, v := drawMemory(t), drawView(t)
		if wrong := checkLaws(mem, v); wrong != "" {
			plan, _, report := Decide(mem, v)
			t.Fatalf("%s\n%s%s\n%s", wrong, describe(v, plan, report), asJSON(mem), asJSON(v))
		}
	})
}

// The zero of everything must do nothing, and say why.
func TestNothingIsKnown(t *testing.T) {
	for _, v := range []View{{}, {Store: StoreView{Known: true}}, {Self: "a", Store: StoreView{Known: true, Members: []MemberRecord{{Name: "a"}}}}} {
		plan, _, report := Decide(Memory{}, v)
		if len(plan.Steps) > 0 || len(report.Reasons)+len(report.Conditions) == 0 {
			t.Errorf("%+v\n%s", v, describe(v, plan, report))
		}
	}
}

// The filter is the last lock: whatever the rules add up to.
func TestFilter(t *testing.T) {
	all := []Step{{Kind: StepPutLease}, {Kind: StepStart}, {Kind: StepPromote}, {Kind: StepStop}, {Kind: StepFence}}
	cases := []struct {
		name string
		v    View
		in   []Step
		want []StepKind
		said Code
	}{
		{"one of three, and the stop first", View{}, all[:4], []StepKind{StepStop, StepPutLease}, "one_at_a_time"},
		{"a fence leaves nothing else", View{}, all, []StepKind{StepFence, StepPutLease}, "one_at_a_time"},
		{"paused", View{Store: StoreView{Paused: true}}, all[:2], []StepKind{StepPutLease}, "paused"},
		{"paused, and the agent ends", View{Store: StoreView{Paused: true}, Stopping: true}, all[3:4], []StepKind{StepStop}, ""},
		{"a job owns the data", View{Local: Local{Job: Job{Kind: string(StepClone), Running: true}}}, all[:2], []StepKind{StepPutLease}, "job_running"},
		{"a checkpoint owns nothing", View{Local: Local{Job: Job{Kind: string(StepCheckpoint), Running: true}}}, all[:2], []StepKind{StepPutLease, StepStart}, ""},
		{"paused and fenced", View{Store: StoreView{Paused: true}}, all[4:], []StepKind{StepFence}, ""},
	}
	for _, c := range cases {
		d := newTestDecider(Memory{}, c.v)
		d.plan.Steps = slices.Clone(c.in)
		d.filter()
		var have []StepKind
		for _, s := range d.plan.Steps {
			have = append(have, s.Kind)
		}
		said := slices.ContainsFunc(d.report.Reasons, func(r Reason) bool { return r.Code == c.said })
		if !slices.Equal(have, c.want) || c.said != "" && !said {
			t.Errorf("%s: %v, want %v; said %v", c.name, have, c.want, d.report.Reasons)
		}
	}
}
