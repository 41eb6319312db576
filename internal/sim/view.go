package sim

import (
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

// What a member sees: of itself at once, of others by messages that take their time.

// peerView is what one agent knows of another, as observe.PeerSource keeps it.
type peerView struct {
	known   bool
	sent    core.Instant
	err     string
	pending bool // one question at a time
	status  status
	asks    *question
}

// question is on its way to another member, or its answer back. It is used for one after the other, as
// only one is open; its two events are made once.
type question struct {
	a                  *agent
	p                  *peerView
	m                  *node // who is asked
	back               reply
	sent               core.Instant
	began              time.Duration
	answer             *status // nil: there is none, and err says why
	err                string
	arrives, comesBack func()
}

// status is what a member says of itself, as agent.status does: the last decision, with
// facts of now.
type status struct {
	instance         core.Instance
	job              core.Job
	term, beat       uint64
	vacant, rejected bool
	stopping         bool
	unwatched        bool
	unwell           bool
}

func (a *agent) status(s *status) {
	r := &a.report
	s.instance, s.job = a.facts(), a.job
	s.term, s.beat, s.vacant, s.rejected, s.stopping, s.unwatched, s.unwell = r.Term, r.Beat, r.Vacant, r.Rejected, a.stopping, r.Unwatched, r.Unwell
}

// How old facts may be that are given to others: as in agent/status.go.
const (
	factsAge     = 1500 * time.Millisecond
	factsAgeBusy = 8 * time.Millisecond
	peerLimit    = time.Second
)

func (a *agent) facts() core.Instance {
	age := factsAge
	if a.report.Vacant || a.ledger.Known().Operation.Active() {
		age = factsAgeBusy
	}
	if a.factsAt == 0 || a.n.w.now-a.factsAt > age {
		a.readLocal()
	}
	return a.local()
}

// readLocal asks the own server; a frozen one does not answer.
func (a *agent) readLocal() {
	if a.n.pg.group.frozen > 0 && a.n.pg.state != core.StateStopped {
		a.instance.State, a.instance.Primary = core.StateUnknown, false // the rest is as old as it is
		return
	}
	a.instance = a.n.pg.instance()
	a.data, a.factsAt, a.readAt = a.n.pg.data, a.n.w.now, a.n.clock()
}

// local puts the warden's word over the last read: it is always newer.
func (a *agent) local() core.Instance {
	i, w := a.instance, &a.n.warden
	i.Follows = a.follows
	if !w.alive {
		i.State, i.Primary = core.StateUnknown, false
	} else if w.empty && i.State != core.StateStopped {
		i.State, i.Primary = core.StateUnknown, false
	}
	return i
}

// instance is what observe reads from SQL, or from the files of a stopped server.
func (p *server) instance() core.Instance {
	if p.data.State != core.DataPresent {
		return core.Instance{State: p.state}
	}
	i := core.Instance{State: p.state, SystemID: p.data.SystemID, Timeline: p.timeline, History: p.history, Control: p.control,
		Checkpoint: p.checkpoint, CheckpointTimeline: p.ckptTL, OldestWAL: p.oldestLSN()}
	switch {
	case p.state == core.StateStopped && !p.n.warden.empty:
		i.State = core.StateUnknown
	case p.state == core.StateStopped:
		i.LastRecord, i.RedoLSN, i.Timeline = p.last(), min(p.checkpoint, p.last()), max(p.timeline, p.half.timeline)
	case p.state != core.StateRunning:
	case p.open:
		p.primaryFacts(&i)
	default:
		p.standbyFacts(&i)
	}
	return i
}

func (p *server) oldestLSN() wal.LSN {
	if p.oldest == 0 {
		return 0
	}
	return lsnAt(p.oldest)
}

func (p *server) primaryFacts(i *core.Instance) {
	i.Primary, i.Roles, i.WriteLSN = true, true, p.end()
	i.SyncNames, i.SyncK = p.conf.Sync.Members, p.conf.Sync.K
	p.senderFacts(i)
	i.Slots = make([]core.Slot, 0, len(p.slots))
	for j := range p.senders {
		p.slotFacts(i, j)
	}
}

func (p *server) senderFacts(i *core.Instance) {
	for j := range p.senders {
		if s := &p.senders[j]; s.live {
			if i.Senders == nil {
				i.Senders = make([]core.Sender, 0, len(p.senders))
			}
			at := lsnAt(s.flushed)
			i.Senders = append(i.Senders, core.Sender{Member: memberNames[j], Streaming: true, FlushLSN: at, ReplayLSN: at})
		}
	}
}

func (p *server) slotFacts(i *core.Instance, j int) {
	if p.slots[j] {
		i.Slots = append(i.Slots, core.Slot{Name: slotNames[j], Active: p.senders[j].live, Lost: p.lostSlots[j]})
	}
}

func (p *server) standbyFacts(i *core.Instance) {
	i.ReceivedLSN, i.ReplayLSN, i.ReplayDone = p.end(), lsnAt(p.replayed), p.replayed == len(p.wal)
	i.Receiver, i.Streaming = p.receiver.live, p.receiver.live
	i.SyncNames, i.SyncK = p.conf.Sync.Members, p.conf.Sync.K
	p.senderFacts(i)
	for j := range p.slots {
		p.slotFacts(i, j)
	}
}

// look fills the agent's view of now, from what has arrived: all of it anew, in place, for a view is large.
func (a *agent) look(v *core.View) {
	n, peers := a.n, v.Peers[:0]
	v.Now, v.Self, v.Ordinal, v.Failed, v.Stopping = n.clock(), n.name, n.i+1, a.failed, a.stopping
	v.Store = *a.ledger.Known()
	v.Store.Err = a.storeErr
	v.Local = core.Local{}
	if l := &v.Local; !n.witness {
		l.ReadAt, l.Warden, l.Data, l.ConfKey, l.Held, l.Good, l.Kept = a.readAt, n.warden.view(), a.data, a.confKey, n.pg.conf.Hold, a.good, n.pg.kept()
		l.Instance = a.local()
		a.probe(l)
	}
	v.Local.Job = a.job
	for i := range v.Store.Members {
		m := &v.Store.Members[i]
		if m.Name != n.name {
			peers = append(peers, a.peers[m.Ordinal-1].view(m.Name, v.Now))
		}
	}
	v.Peers = peers
}

func (p *peerView) view(name string, now core.Instant) core.Peer {
	s := &p.status
	return core.Peer{Name: name, Known: p.known, Age: now.Sub(p.sent), Err: p.err, Instance: s.instance, Job: s.job,
		Term: s.term, Beat: s.beat, Vacant: s.vacant, Rejected: s.rejected, Stopping: s.stopping, Unwatched: s.unwatched, Unwell: s.unwell}
}

// ask sends a question to every other member that has none open.
func (a *agent) ask() {
	for _, m := range a.n.w.nodes {
		if m != a.n && !a.peers[m.i].pending {
			a.askOne(m)
		}
	}
}

func (a *agent) askOne(m *node) {
	w, p := a.n.w, &a.peers[m.i]
	q := p.asks
	if q == nil {
		q = &question{a: a, p: p, m: m}
		q.arrives, q.comesBack = q.arrive, q.comeBack
		p.asks = q
	}
	p.pending = true
	q.back, q.sent, q.began, q.answer, q.err = a.group.asks(), a.n.clock(), w.now, nil, "no answer"
	if d, ok := w.delivery(a.n.i, m.i); ok {
		w.after(d, q.arrives)
	} else {
		q.back.after(peerLimit, q.comesBack)
	}
}

func (q *question) arrive() {
	w, m := q.m.w, q.m
	late := q.began + peerLimit - w.now
	switch {
	case m.down > 0 || m.agent.group.frozen > 0:
		q.back.after(late, q.comesBack)
		return
	case !m.agent.up:
		q.err = "connection refused"
		q.back.after(w.latency(), q.comesBack)
		return
	}
	if d, ok := w.delivery(m.i, q.a.n.i); ok && d < late {
		q.answer, q.err = w.envelope(), ""
		m.agent.status(q.answer)
		late = d
	}
	q.back.after(late, q.comesBack)
}

func (q *question) comeBack() { q.a.heard(q.p, q.sent, q.answer, q.err) }

// envelope is a status on its way: large, and used again.
func (w *World) envelope() (s *status) {
	if n := len(w.envelopes); n > 0 {
		s, w.envelopes = w.envelopes[n-1], w.envelopes[:n-1]
		return s
	}
	return new(status)
}

// heard takes an answer over, by the rules of observe.
func (a *agent) heard(p *peerView, sent core.Instant, s *status, err string) {
	p.pending, p.err = false, err
	if s != nil {
		if sent >= p.sent {
			p.status, p.known, p.sent = *s, true, sent
		}
		a.n.w.envelopes = append(a.n.w.envelopes, s)
	}
	a.arrived()
}

func lsnAt(records int) wal.LSN { return wal.LSN(100 * (records + 1)) }

var slotNames = func() (names [len(memberNames)]string) {
	for i, m := range memberNames {
		names[i] = spec.SlotName(m)
	}
	return names
}()
