package sim

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

// storage is the coordination store: linearizable, answered by a raft leader that a majority
// of voters hears, in the agents' processes (embedded) or on a host of its own (external).
// Late it may be, cut off, stalled or leaderless; a request may take effect long after
// its sender gave up; a read may, as a fault, come from a replica that lags.
type storage struct {
	w          *World
	records    core.StoreView
	revision   int64
	requests   []*core.Request // by member
	external   bool
	voters     int
	leader     int
	electing   bool
	stalled    time.Duration // nothing is answered before this
	diskStalls time.Duration // nothing is written before this, and reads are answered: they need no disk
	staleness  int           // one read in so many is old; 0: none
	old        []past
	lost       bool    // wiped, and not rebuilt yet
	generation uint64  // see core.ClusterRecord
	calls      []*call // free ones
}

type past struct {
	records  core.StoreView
	revision int64
}

// outcome of a call, as its sender sees it.
type outcome int

const (
	answered outcome = iota
	conflicted
	unanswered // for a write: it may have taken effect, or may still
)

func newStorage(w *World) *storage {
	s := &storage{w: w, external: w.o.External, voters: min(5, w.o.Members), requests: make([]*core.Request, w.o.Members)}
	s.leader = w.rng.IntN(s.voters)
	return s
}

// found writes the first records: a cluster that was stopped cleanly, or one without a
// database yet.
func (w *World) found() {
	s := &w.store.records
	s.Spec = spec.Cluster{
		Lease:      spec.Lease{TTL: spec.Duration(w.o.TTL), Renew: spec.Duration(w.o.Renew), Margin: spec.Duration(w.o.Margin)},
		Durability: w.o.Durability, SyncStandbys: w.o.K, Strict: w.o.Strict, MaxLagBytes: w.o.MaxLag, CrashRecoveryMax: spec.Duration(w.o.Recovery),
		Forks:    spec.Forks{Keep: spec.Duration(time.Hour), MaxBytes: 1 << 30, Aside: (w.o.Members + len(w.o.Faults)) % 3},
		Health:   spec.Health{WriteTimeout: spec.Duration(w.o.Patience), Failover: true},
		Postgres: spec.ClusterPostgres{Parameters: map[string]string{"max_connections": "100"}},
	}
	s.Cluster = core.ClusterRecord{ID: clusterID, BootstrapBy: memberNames[0]}
	for _, n := range w.nodes {
		s.Members = append(s.Members, n.record)
	}
	w.store.revision, s.ClusterRevision, s.SpecRevision = 10, 1, 2
	if w.o.Fresh {
		return
	}
	s.Cluster.SystemID = systemID
	w.foundData()
	s.Lease = core.LeaseRecord{Holder: memberNames[0], Term: 1, Beat: 1, Released: true, LSN: w.nodes[0].pg.end(),
		TTL: s.Spec.Lease.TTL, Margin: s.Spec.Lease.Margin}
	s.Lease.Final.Timeline, s.Lease.Final.LSN = 1, w.nodes[0].pg.checkpoint
	s.LeaseRevision = 3
}

const (
	clusterID = "id"
	systemID  = "7"
)

// reply carries an answer to the process that asked, or to nobody when that has died.
type reply struct {
	g     *group
	epoch int
}

func (g *group) asks() reply { return reply{g, g.epoch} }

func (r reply) after(d time.Duration, fn func()) {
	r.g.w.plan(event{at: r.g.w.now + max(0, d), group: r.g, epoch: r.epoch, fn: fn})
}

// call is a request on its way, or its answer back: see storage.call. It is used again after that; its
// two events are made once.
type call struct {
	s          *storage
	n          *node
	back       reply
	generation uint64
	over       time.Duration // when its sender gives it up
	effect     func() outcome
	done       func(outcome)
	result     outcome

	arrives, comesBack func()
}

func (s *storage) newCall() *call {
	if n := len(s.calls); n > 0 {
		c := s.calls[n-1]
		s.calls = s.calls[:n-1]
		return c
	}
	c := &call{s: s}
	c.arrives, c.comesBack = c.arrive, c.comeBack
	return c
}

// call sends a request. effect happens at the moment of linearization, done at the sender
// within limit.
func (s *storage) call(n *node, limit time.Duration, effect func() outcome, done func(outcome)) {
	s.request(n, limit, s.stalled, effect, done)
}

// write is a call that needs the leader's disk.
func (s *storage) write(n *node, limit time.Duration, effect func() outcome, done func(outcome)) {
	s.request(n, limit, max(s.stalled, s.diskStalls), effect, done)
}

func (s *storage) request(n *node, limit, notBefore time.Duration, effect func() outcome, done func(outcome)) {
	w, c := s.w, s.newCall()
	c.n, c.back, c.generation, c.over, c.effect, c.done, c.result = n, n.agent.group.asks(), n.generation, w.now+limit, effect, done, unanswered
	arrives := w.latency() + w.latency() // to the leader, and from it to a quorum's disks
	if until := notBefore - w.now; until > 0 {
		arrives += until
	}
	if arrives > limit { // given up by its sender, and under way all the same
		late := *c
		c.back.after(limit, c.comesBack)
		w.after(arrives, func() {
			if s.reachable(n) {
				late.take()
			}
		})
		return
	}
	w.after(arrives, c.arrives)
}

func (c *call) take() outcome {
	if c.s.lost || c.generation != c.s.generation { // each generation has keys of its own
		return conflicted
	}
	return c.effect()
}

func (c *call) arrive() {
	s, w := c.s, c.s.w
	if s.reachable(c.n) {
		result := c.take()
		if d := w.latency(); w.now+d <= c.over && s.reachable(c.n) {
			c.result = result
			c.back.after(d, c.comesBack)
			return
		}
	}
	c.back.after(c.over-w.now, c.comesBack)
}

func (c *call) comeBack() {
	done, result := c.done, c.result
	c.effect, c.done = nil, nil
	c.s.calls = append(c.s.calls, c)
	done(result)
}

// reachable says that the member can talk to a leader that has a quorum.
func (s *storage) reachable(n *node) bool {
	if s.external {
		return !s.w.isCut(n.i, s.w.o.Members) && !s.w.isCut(s.w.o.Members, n.i) && !s.electing
	}
	if s.electing || s.lost {
		return false
	}
	if !s.quorum(s.leader) {
		s.elect()
		return false
	}
	if s.linked(n.i, s.leader) {
		return true
	}
	for v := range s.voters {
		if s.votes(v) && s.linked(n.i, v) && s.linked(v, s.leader) {
			return true
		}
	}
	return false
}

// votes: the embedded voter is part of its agent's process.
func (s *storage) votes(v int) bool {
	a := &s.w.nodes[v].agent
	return a.up && a.group.frozen == 0
}

func (s *storage) linked(a, b int) bool {
	return a == b || !s.w.isCut(a, b) && !s.w.isCut(b, a)
}

func (s *storage) quorum(leader int) bool {
	if !s.votes(leader) {
		return false
	}
	n := 0
	for v := range s.voters {
		if s.votes(v) && s.linked(leader, v) {
			n++
		}
	}
	return n > s.voters/2
}

// elect takes raft's time.
func (s *storage) elect() {
	if s.electing {
		return
	}
	s.electing = true
	var try func()
	try = func() {
		first := s.w.rng.IntN(s.voters)
		for i := range s.voters {
			if v := (first + i) % s.voters; s.external || s.quorum(v) {
				s.leader, s.electing = v, false
				s.w.note(nil, "store", v, "the store elects %s", memberNames[v])
				return
			}
		}
		s.w.after(500*time.Millisecond, try)
	}
	s.w.after(s.w.between(time.Second, 2500*time.Millisecond), try)
}

// snapshot is what a read sees.
func (s *storage) snapshot(n *node, v *core.StoreView) (revision int64) {
	*v, revision = s.records, s.revision
	if s.staleness > 0 && len(s.old) > 0 && s.w.oneIn(s.staleness) {
		p := s.old[s.w.rng.IntN(len(s.old))]
		*v, revision = p.records, p.revision
	}
	v.Known = true
	if r := s.requests[n.i]; r != nil {
		own := *r
		v.Request = &own
	}
	for i, r := range s.requests {
		if r != nil {
			v.Requests = append(v.Requests, memberNames[i])
		}
	}
	return revision
}

// next begins a change of a record whose revision is at; false is a conflict.
func (s *storage) next(at *int64, expect int64) bool {
	if *at != expect {
		return false
	}
	if s.staleness > 0 {
		s.old = append(s.old, past{s.records, s.revision})
		s.old = s.old[max(0, len(s.old)-8):]
	}
	s.revision++
	*at = s.revision
	return true
}

// put is the effect of a step that writes a record.
func (s *storage) put(n *node, step core.Step) outcome {
	r, ok := &s.records, false
	switch step.Kind {
	case core.StepPutLease:
		was := r.Lease
		if ok = s.next(&r.LeaseRevision, step.Expect); ok {
			r.Lease = *step.Lease
			s.w.leaseWritten(n, was, r.Lease)
		}
	case core.StepPutCluster:
		if ok = s.next(&r.ClusterRevision, step.Expect); ok {
			r.Cluster = *step.Cluster
		}
	case core.StepPutOperation:
		if ok = s.next(&r.OperationRevision, step.Expect); ok {
			op := *step.Operation
			r.Operation = &op
			s.w.note(n, "operation", len(op.Phase), "%s %s: %s %s", op.Kind, op.ID, op.Phase, op.Text)
		}
	case core.StepPutRequest:
		ok = s.putRequest(s.w.byName(step.Member).i, step.Request, step.Expect)
	case core.StepEndRequest:
		ok = s.putRequest(n.i, nil, step.Expect)
	}
	if !ok {
		return conflicted
	}
	s.changed()
	return answered
}

func (s *storage) putRequest(i int, r *core.Request, expect int64) bool {
	at := int64(0)
	if s.requests[i] != nil {
		at = s.requests[i].Revision
	}
	if r == nil && at == 0 || !s.next(&at, expect) {
		return false
	}
	s.requests[i] = nil
	if r != nil {
		next := *r
		next.Revision = at
		s.requests[i] = &next
	}
	return true
}

// changed wakes those who watch.
func (s *storage) changed() {
	for _, n := range s.w.nodes {
		if n.agent.up && s.reachable(n) {
			n.agent.group.after(s.w.latency(), n.agent.hint)
		}
	}
	for _, p := range s.w.poolers {
		if p.sawOp != s.records.OperationRevision {
			s.w.after(time.Millisecond, p.look)
		}
	}
}

// wipe: the store forgets everything; embedded, all shares of it are gone. An operator finds out after a while.
func (s *storage) wipe() {
	s.w.lastLease = s.records.Lease
	s.records = core.StoreView{}
	s.revision = 1
	s.requests = make([]*core.Request, s.w.o.Members)
	s.old = nil
	s.lost = true
	s.w.after(s.w.between(time.Second, 15*time.Second), s.w.recoverStore)
}

// leaseWritten holds the invariants that a change of the lease must keep.
func (w *World) leaseWritten(by *node, was, is core.LeaseRecord) {
	if is.Term == was.Term && is.Holder == was.Holder && is.Released == was.Released && slices.Equal(is.Sync.Members, was.Sync.Members) && is.Sync.K == was.Sync.K {
		return // a renewal
	}
	w.note(by, "lease", int(is.Term), "term %d of %s, released %v, commits on any %d of %v", is.Term, is.Holder, is.Released, is.Sync.K, is.Sync.Members)
	if is.Term < was.Term || is.Term == was.Term && is.Holder != was.Holder || is.Term > was.Term+1 {
		w.violate("I4", "the lease went from %s, term %d, to %s, term %d", was.Holder, was.Term, is.Holder, is.Term)
	}
	if old := w.byName(was.Holder); old != nil && (is.Term > was.Term || is.Released && !was.Released) {
		w.hist.Fenced(old.i, is.Term, old.canWrite() || old.undead())
	}
	if taker := w.byName(is.Holder); is.Term > was.Term && w.o.Durability == spec.DurabilityAsync && was.Holder != "" && was.Holder != is.Holder && taker != nil {
		w.hist.Lagging(taker.i, was.LSN.Sub(w.sharedEnd(taker, was)), w.o.MaxLag)
	}
	w.keptOn(is.Sync)
}

// sharedEnd is where what a taker has of its predecessor's history ends: where their records part, if the
// predecessor still has what it published. Numbers alone would count what is on another history.
func (w *World) sharedEnd(taker *node, was core.LeaseRecord) wal.LSN {
	end, old := taker.pg.end(), w.byName(was.Holder)
	if old == nil || old.pg.end() < was.LSN {
		return end
	}
	for i, uid := range taker.pg.wal[:min(len(taker.pg.wal), len(old.pg.wal))] {
		if old.pg.wal[i] != uid {
			return wal.LSN(100 * (i + 1))
		}
	}
	return end
}

// keptOn is I5 as it is meant: every acknowledged commit is on enough of those that the
// lease promises.
func (w *World) keptOn(r core.SyncSet) {
	if !w.hist.Sync || len(r.Members) == 0 || w.noCopy {
		return
	}
	w.hist.Promised(func(commit int) bool { return w.onEnough(r, commit) })
}

func (w *World) onEnough(r core.SyncSet, commit int) bool {
	have := 0
	for _, name := range r.Members {
		if n := w.byName(name); n != nil && n.pg.has(commit) {
			have++
		}
	}
	return have >= r.K
}

// canWrite: something of the member's PostgreSQL may still write, and nothing keeps its
// fence, or the watchdog behind that, from seeing to that. (A member that is frozen as a whole writes nothing; of one that
// was paused with its clocks, only what it acknowledges can be held against it.)
func (n *node) canWrite() bool {
	p := &n.pg
	busy := p.open || p.promoting || p.state == core.StateStarting && !p.asStandby
	return busy && !n.unaware() && n.fences() && p.group.frozen == 0
}

// fences: what is to end PostgreSQL at its deadline runs.
func (n *node) fences() bool {
	return n.frozenFence == 0 && n.warden.group.frozen == 0 || n.dog.guards()
}
