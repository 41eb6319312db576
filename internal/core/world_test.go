package core

import (
	"fmt"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

// A tiny world: three members whose plans are carried out on a model of PostgreSQL,
// warden and store. It is no simulator (no delays, no losses): it shows that decisions
// of several members add up, and checks the promises after every step.

const worldStep = 50 * time.Millisecond

type world struct {
	t       interface{ Fatalf(string, ...any) }
	now     Instant
	nodes   []*node
	store   StoreView // the records
	rev     int64
	acked   []int // ids of acknowledged commits
	nextID  int
	busy    bool // a client writes
	writers map[uint64]string
	inits   int
}

type rec struct {
	tl wal.Timeline
	id int // 0: not a commit
}

type node struct {
	w                *world
	name             string
	up, cut          bool // agent runs; no network
	mem              Memory
	known            StoreView // last read
	report           Report
	renewed          uint64
	renewedAt        Instant
	leaseAt, opAt    Instant
	phaseAt          Instant
	phase            string
	opID             string
	warden           Warden
	state            InstanceState
	primary, standby bool
	wal              []rec
	tl               wal.Timeline
	history          wal.History
	data             Data
	control          string
	checkpoint       wal.LSN
	ckptTL           wal.Timeline
	oldest           wal.LSN // WAL before it is gone
	conf             Conf    // what runs
	confKey          string
	good, running    map[string]string
	job              Job
	jobStep          *Step
	bad              func(map[string]string) bool // parameters that do not start
	requests         *Request
	stopping         bool
	noJobs           bool // jobs never end
	acking           bool
	pending          []int // index into wal of commits that wait
}

func newWorld(t interface{ Fatalf(string, ...any) }, names ...string) *world {
	w := &world{t: t, now: Instant(time.Hour), busy: true, writers: map[uint64]string{}}
	w.store = StoreView{Known: true, Cluster: ClusterRecord{ID: "id", BootstrapBy: names[0]}, Spec: testSpec()}
	for i, name := range names {
		w.store.Members = append(w.store.Members, MemberRecord{Name: name, Ordinal: i + 1, Address: name, PGPort: 5432})
		n := &node{w: w, name: name, up: true, state: StateStopped, data: Data{State: DataAbsent}}
		n.warden = Warden{Alive: true, Empty: true}
		w.nodes = append(w.nodes, n)
	}
	return w
}

func testSpec() spec.Cluster {
	return spec.Cluster{
		Lease:      spec.Lease{TTL: spec.Duration(5 * time.Second), Renew: spec.Duration(time.Second), Margin: spec.Duration(time.Second)},
		Durability: spec.DurabilitySync, SyncStandbys: 1, MaxLagBytes: 1 << 20,
		Postgres: spec.ClusterPostgres{Parameters: map[string]string{"max_connections": "100"}},
	}
}

func (w *world) node(name string) *node {
	return w.nodes[slices.IndexFunc(w.nodes, func(n *node) bool { return n.name == name })]
}

func (n *node) end() wal.LSN { return wal.LSN(100 * (len(n.wal) + 1)) }

// step lets 50 ms pass: PostgreSQL moves, wardens look at their deadlines, agents tick.
func (w *world) step() {
	w.now = w.now.Add(worldStep)
	for _, n := range w.nodes {
		n.movePostgres()
	}
	for _, n := range w.nodes {
		n.stream()
		n.acknowledge()
	}
	w.check()
	views := map[*node]View{}
	for _, n := range w.nodes {
		if n.up {
			views[n] = n.view()
		}
	}
	for _, n := range w.nodes {
		if v, ok := views[n]; ok && n.up {
			if !racing {
				v = n.view()
			}
			n.tick(v)
		}
	}
}

// racing lets all members look before any acts, so that they decide on what is about to
// change: only the store's compare-and-swap keeps two of them apart.
var racing bool

func (w *world) run(d time.Duration) {
	for range d / worldStep {
		w.step()
	}
}

// until lets time pass until cond, and fails with what every member last said.
func (w *world) until(limit time.Duration, what string, cond func() bool) time.Duration {
	start := w.now
	for w.now.Sub(start) < limit {
		if cond() {
			return w.now.Sub(start)
		}
		w.step()
	}
	w.t.Fatalf("%s: not within %s\n%s", what, limit, w.dump())
	return 0
}

func (w *world) dump() string {
	text := fmt.Sprintf("lease %+v\noperation %+v\n", w.store.Lease, w.store.Operation)
	for _, n := range w.nodes {
		text += fmt.Sprintf("%s up=%v %s primary=%v tl=%d end=%s control=%q data=%s follows=%q sync=%s\n", n.name, n.up, n.state, n.primary, n.tl, n.end(), n.control, n.data.State, n.conf.Follow, n.conf.Sync.text())
		for _, r := range n.report.Reasons {
			text += "    " + r.String() + "\n"
		}
		for _, c := range n.report.Conditions {
			text += "    condition " + string(c.Code) + ": " + c.Text + "\n"
		}
	}
	return text
}

// settled: one primary, all others that are up stream from it, and the lease permits
// a failover to them.
func (w *world) settled() bool {
	leader, others := 0, 0
	for _, n := range w.nodes {
		if n.up && n.state == StateRunning && n.primary && n.name == w.store.Lease.Holder {
			leader++
		}
		if n.up && n.streaming() != nil && slices.Contains(w.store.Lease.Sync.Members, n.name) {
			others++
		}
	}
	up := 0
	for _, n := range w.nodes {
		if n.up {
			up++
		}
	}
	return leader == 1 && others == up-1 && len(w.store.Lease.Sync.Members) == others
}

func (w *world) primary() *node {
	for _, n := range w.nodes {
		if n.state == StateRunning && n.primary {
			return n
		}
	}
	return nil
}

// check holds the promises of DESIGN.md after every step.
func (w *world) check() {
	var writers []string
	for _, n := range w.nodes {
		if n.state == StateRunning && n.primary {
			writers = append(writers, n.name)
		}
	}
	if len(writers) > 1 {
		w.t.Fatalf("two members accept writes: %v\n%s", writers, w.dump())
	}
	if w.inits > 1 {
		w.t.Fatalf("initdb ran %d times", w.inits)
	}
}

// promoted is called when n begins to accept writes: every acknowledged commit is there.
func (n *node) promoted() {
	w := n.w
	if by, ok := w.writers[w.store.Lease.Term]; ok && by != n.name {
		w.t.Fatalf("%s and %s both were primary in term %d\n%s", by, n.name, w.store.Lease.Term, w.dump())
	}
	w.writers[w.store.Lease.Term] = n.name
	for _, id := range w.acked {
		if !slices.ContainsFunc(n.wal, func(r rec) bool { return r.id == id }) {
			w.t.Fatalf("commit %d was acknowledged and is not on %s, which is primary now\n%s", id, n.name, w.dump())
		}
	}
}

func (n *node) movePostgres() {
	w := &n.warden
	if w.Deadline != 0 && n.w.now >= w.Deadline {
		if !w.Empty {
			n.kill("fenced: the deadline passed")
			w.Fenced = true
		}
		w.Deadline = 0
	}
	switch n.state {
	case StateStarting:
		n.started()
	case StateStopping:
		n.ended("")
	}
	n.finishJob()
}

func (n *node) started() {
	n.running = n.conf.Params
	if n.bad != nil && n.bad(n.running) {
		n.ended("exit code 1")
		return
	}
	n.state, n.primary = StateRunning, !n.standby
	if n.primary {
		n.write(rec{tl: n.tl})
		n.control, n.ckptTL = "in production", n.tl
		n.promoted()
	} else {
		n.control = "in archive recovery"
	}
}

func (n *node) write(r rec) { n.wal = append(n.wal, r) }

// stop is a fast shutdown; a primary's last record reaches those who stream.
func (n *node) stop() {
	if n.state != StateRunning {
		n.kill("")
		return
	}
	n.pending = nil
	if n.primary {
		n.checkpoint, n.ckptTL, n.control = n.end(), n.tl, "shut down"
		n.write(rec{tl: n.tl})
		for _, m := range n.w.nodes {
			m.stream()
		}
	} else {
		n.control = "shut down in recovery"
	}
	n.primary, n.state = false, StateStopping
}

func (n *node) ended(text string) {
	n.pending, n.primary, n.state = nil, false, StateStopped
	n.warden.Empty, n.warden.ExitedAt, n.warden.ExitText = true, n.w.now, text
}

func (n *node) kill(text string) { n.ended(text) }

// streaming gives the primary that n streams from, or nil.
func (n *node) streaming() *node {
	if n.state != StateRunning || n.primary || n.conf.Follow == "" || n.cut {
		return nil
	}
	p := n.w.node(n.conf.Follow)
	if p.cut || p.state != StateRunning && p.state != StateStopping || !p.primary && p.state != StateStopping || n.end() < p.oldest ||
		len(n.wal) > len(p.wal) || !slices.Equal(n.wal, p.wal[:len(n.wal)]) {
		return nil
	}
	return p
}

func (n *node) stream() {
	if p := n.streaming(); p != nil {
		n.wal = slices.Clone(p.wal)
		n.tl, n.history, n.ckptTL = p.tl, p.history, p.ckptTL
	}
}

// acknowledge lets a client commit, and tells it so when enough standbys have it.
func (n *node) acknowledge() {
	if n.state != StateRunning || !n.primary {
		return
	}
	if n.w.busy {
		n.w.nextID++
		n.write(rec{tl: n.tl, id: n.w.nextID})
		n.pending = append(n.pending, len(n.wal)-1)
	}
	n.pending = slices.DeleteFunc(n.pending, func(at int) bool {
		have := 0
		for _, name := range n.conf.Sync.Members {
			if m := n.w.node(name); m.streaming() == n && len(m.wal) > at {
				have++
			}
		}
		if have >= n.conf.Sync.K {
			n.w.acked = append(n.w.acked, n.wal[at].id)
			return true
		}
		return false
	})
}

func (n *node) instance() Instance {
	i := Instance{State: n.state, Primary: n.primary, SystemID: n.data.SystemID, Timeline: n.tl, History: n.history,
		Control: n.control, Checkpoint: n.checkpoint, CheckpointTimeline: n.ckptTL, OldestWAL: n.oldest, Roles: true}
	if n.data.State != DataPresent {
		return Instance{State: n.state}
	}
	switch {
	case n.state == StateStopped:
		i.LastRecord = n.end() - 100
	case n.state != StateRunning:
	case n.primary:
		i.WriteLSN, i.SyncNames, i.SyncK = n.end(), n.conf.Sync.Members, n.conf.Sync.K
		for _, m := range n.w.nodes {
			if m != n {
				i.Slots = append(i.Slots, Slot{Name: spec.SlotName(m.name)})
			}
			if m.streaming() == n {
				i.Senders = append(i.Senders, Sender{Member: m.name, Streaming: true, FlushLSN: m.end()})
			}
		}
	default:
		i.ReceivedLSN, i.ReplayLSN, i.ReplayDone = n.end(), n.end(), true
		i.SyncNames, i.SyncK = n.conf.Sync.Members, n.conf.Sync.K
		i.Receiver = n.streaming() != nil
		i.Streaming, i.Follows = i.Receiver, n.conf.Follow
	}
	if n.state == StateRunning {
		i.Limits = map[string]int{"max_connections": atoi(n.running["max_connections"])}
		if n.conf.Params["max_connections"] != n.running["max_connections"] {
			i.Pending = []string{"max_connections"}
		}
	}
	return i
}

func atoi(text string) (v int) {
	_, _ = fmt.Sscan(text, &v)
	return v
}

func (n *node) view() View {
	if !n.cut {
		n.read()
	} else {
		n.known.Err = "cut off"
	}
	s := n.known
	s.RenewedTerm, s.RenewedAt, s.LeaseSeenAt, s.OperationSeenAt, s.PhaseSeenAt = n.renewed, n.renewedAt, n.leaseAt, n.opAt, n.phaseAt
	v := View{Now: n.w.now, Self: n.name, Store: s, Stopping: n.stopping}
	v.Local = Local{ReadAt: v.Now, Warden: n.warden, Data: n.data, Instance: n.instance(), ConfKey: n.confKey, Good: n.good, Job: n.job}
	for _, m := range n.w.nodes {
		if m == n {
			continue
		}
		p := Peer{Name: m.name, Err: "no answer"}
		if m.up && !m.cut && !n.cut {
			p = Peer{Name: m.name, Known: true, Instance: m.instance(), Job: m.job, Term: m.report.Term, Beat: m.report.Beat,
				Vacant: m.report.Vacant, Rejected: m.report.Rejected, Stopping: m.stopping}
		}
		v.Peers = append(v.Peers, p)
	}
	return v
}

func (n *node) read() {
	s := n.w.store
	s.ReadAt = n.w.now
	if !n.known.Known || s.LeaseRevision != n.known.LeaseRevision {
		n.leaseAt = n.w.now
	}
	if s.Operation != nil && s.Operation.ID != n.opID {
		n.opID, n.opAt = s.Operation.ID, n.w.now
	}
	if s.Operation != nil && s.Operation.ID+s.Operation.Phase != n.phase {
		n.phase, n.phaseAt = s.Operation.ID+s.Operation.Phase, n.w.now
	}
	for _, m := range n.w.nodes {
		if m.requests != nil {
			s.Requests = append(s.Requests, m.name)
		}
	}
	s.Request = n.requests
	n.known = s
}

func (n *node) tick(v View) {
	plan, mem, report := Decide(n.mem, v)
	n.mem, n.report = mem, report
	for _, s := range plan.Steps {
		if !n.do(s, v) {
			return
		}
	}
}
