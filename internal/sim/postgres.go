package sim

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/wal"
)

// server models one PostgreSQL as decisions can see it. WAL is a list of record numbers,
// each given once in a run, so that two histories that agree in their last record agree in
// all. A record takes 100 bytes; the first begins at 100.
type server struct {
	n     *node
	group group // its processes

	onWrite func() // serve, made a value once: there are many

	// On disk.
	data       core.Data
	wal        []int32
	timeline   wal.Timeline
	history    wal.History
	control    string
	checkpoint wal.LSN
	ckptTL     wal.Timeline
	oldest     int // records before it are gone
	conf       core.Conf
	slots      []bool
	lostSlots  []bool
	evidence   evidence
	signal     bool // standby.signal
	half       half // a promotion that came half through

	// In memory.
	state     core.InstanceState
	asStandby bool
	open      bool // accepts writes
	holds     bool // the postmaster lets no clients in, by the access rules that it has read
	promoting bool
	replayed  int
	receiver  receiver
	attempt   int // to connect; the newest one counts
	senders   []sender
	waitsOn   bool // the checkpointer's switch: commits wait at all
	waiting   []commit

	// Faults.
	full, hung, dead int // start fails; fsync hangs; the device under the data refuses
}

// commit is a client's write that waits for its acknowledgement.
type commit struct {
	at      int // index in wal
	uid     int32
	written time.Duration
}

// receiver is a standby's WAL receiver; sender is the primary's end of it. Each end learns
// of the other's death in its own time.
type receiver struct {
	live bool
	conn int
	from int
}

type sender struct {
	live    bool
	conn    int
	flushed int // records that the standby has confirmed
	busy    bool
	sync    core.SyncSet // synchronous_standby_names as this process has read it
}

func (p *server) init() {
	members := p.n.w.o.Members
	p.onWrite = p.serve
	p.state, p.data.State = core.StateStopped, core.DataAbsent
	p.senders, p.slots, p.lostSlots = make([]sender, members), make([]bool, members), make([]bool, members)
}

// foundData gives all members the same cleanly stopped database.
func (w *World) foundData() {
	for i := range 5 {
		w.newRecord(false)
		for _, n := range w.nodes {
			if !n.witness {
				n.pg.wal = append(n.pg.wal, int32(i+1))
			}
		}
	}
	for i, n := range w.nodes {
		p := &n.pg
		if n.witness {
			continue
		}
		p.data = core.Data{State: core.DataPresent, ClusterID: clusterID, SystemID: systemID}
		p.timeline, p.ckptTL, p.control, p.checkpoint, p.evidence.proven = 1, 1, "shut down in recovery", 500, true
		if i == 0 {
			p.control = "shut down"
		}
	}
}

// newRecord numbers a record that is written now.
func (w *World) newRecord(client bool) int32 {
	if w.uids == 0 {
		w.written, w.commit, w.told = append(w.written, 0), append(w.commit, false), append(w.told, false)
	}
	w.uids++
	w.written, w.commit, w.told = append(w.written, w.now), append(w.commit, client), append(w.told, false)
	return w.uids
}

// end is the position behind the last record; last is where the last one begins.
func (p *server) end() wal.LSN  { return wal.LSN(100 * (len(p.wal) + 1)) }
func (p *server) last() wal.LSN { return wal.LSN(100 * len(p.wal)) }

// has says that the record is part of this server's history.
func (p *server) has(uid int) bool {
	i, found := slices.BinarySearch(p.wal, int32(uid)) // numbers only grow along a history
	return found && p.wal[i] == int32(uid)
}

// write appends a record and sends it to who streams.
func (p *server) write(client bool) int32 {
	uid := p.n.w.newRecord(client)
	p.wal = append(p.wal, uid)
	p.replayed = len(p.wal)
	for j := range p.senders {
		p.send(j)
	}
	return uid
}

// startMax leaves a start that is under way when all heals less than liveness allows.
const startMax = 15 * time.Second

// stopMax does so for a stop: where commits are promised to nobody, it can only be waited for. (It is longer than what core waits for
// where somebody else could lead.)
const stopMax = 70 * time.Second

// start is the postmaster's beginning, as standby.signal says.
func (p *server) start() {
	w := p.n.w
	p.state, p.asStandby = core.StateStarting, p.signal
	p.waitsOn, p.waiting, p.holds = p.conf.Sync.K > 0, nil, p.conf.Hold
	for i := range p.senders {
		p.senders[i] = sender{}
	}
	p.receiver = receiver{}
	w.note(p.n, "start", len(p.wal), "PostgreSQL starts, standby %v, %d records, control %q", p.signal, len(p.wal), p.control)
	d := 30*time.Millisecond + w.upTo(min(w.o.Start+w.startSlow, startMax))
	if p.full > 0 || p.dead > 0 {
		p.group.after(d/4, func() { p.exited("exit code 1") })
		return
	}
	p.group.after(d, p.started)
	if p.asStandby {
		p.control = "in archive recovery"
		p.replayed = 0
		p.group.after(d/2, p.connect)
	}
}

func (p *server) started() {
	if p.hung > 0 { // recovery flushes too
		p.group.after(200*time.Millisecond, p.started)
		return
	}
	p.state = core.StateRunning
	if p.asStandby {
		p.adoptHalf()
		p.replay()
		return
	}
	if p.control != "shut down" {
		p.ckptTL = p.timeline // the end-of-recovery checkpoint
	}
	p.control = "in production"
	p.opens()
	p.write(false)
}

// opens: from now on clients can write.
func (p *server) opens() {
	w := p.n.w
	term := p.n.warden.permit.Term
	w.note(p.n, "open", int(term), "accepts writes in term %d on timeline %d with %d records, commits wait for any %d of %v", term, p.timeline, len(p.wal), p.conf.Sync.K, p.conf.Sync.Members)
	p.open, p.promoting, p.evidence.proven = true, false, true
	if l := w.lease(); p.timeline > max(l.Timeline, 1) {
		w.violate("I4", "%s opens on timeline %d, the lease has written down %d", p.n.name, p.timeline, l.Timeline)
	}
	untold, permit := 0, p.n.warden.permit
	unfenced := !p.n.fences() && permit.Deadline != 0 && p.n.clock() >= permit.Deadline // it had begun to start before
	lost := w.hist.Opened(p.n.i, term, p.n.unaware() || unfenced, func(c int) bool {
		has := p.has(c)
		if !has && !w.saved(c) { // else its member was back already, and has told
			untold++
		}
		return has
	})
	if l := w.store.records.Lease; l.Holder == p.n.name && l.Term == term {
		w.hist.Unsaid(p.n.i, term, untold, len(l.Lost) > 0)
	}
	if lost > 0 {
		w.lost += lost
		w.hist.Forget(func(c int) bool { return !p.has(c) })
	}
}

// promote is pg_promote, to the timeline that was reserved: asked for now, done later.
func (p *server) promote(to wal.Timeline) {
	if p.promoting || p.open {
		return
	}
	w := p.n.w
	p.promoting = true
	p.dropReceiver()
	p.hangsInPromotion()
	d := 10*time.Millisecond + w.upTo(w.o.Promote+w.promoteSlow)
	p.group.after(d/2, func() { // what a death from now on leaves behind
		p.replayed = len(p.wal)
		p.half = half{to, append(slices.Clone(p.history), wal.Switch{Timeline: p.timeline, LSN: p.end()})}
		p.signal = false
	})
	p.group.after(d, func() { p.promoted(to) })
}

// promoted is the end of a promotion, which is flushed: it waits for the disk.
func (p *server) promoted(to wal.Timeline) {
	w := p.n.w
	if p.hung > 0 {
		p.group.after(50*time.Millisecond, func() { p.promoted(to) })
		return
	}
	if to <= p.timeline {
		w.violate("I4", "%s is promoted from timeline %d to %d", p.n.name, p.timeline, to)
	}
	p.adoptHalf()
	p.control = "in production"
	p.opens()
	p.write(false)
	p.group.after(w.between(time.Second, 20*time.Second), p.checkpointed)
}

// half is a promotion that has made its timeline's files and not changed the control file.
type half struct {
	timeline wal.Timeline
	history  wal.History
}

// adoptHalf: recovery, and the end of a promotion, go for the newest timeline there is.
func (p *server) adoptHalf() {
	if p.half.timeline > p.timeline {
		p.timeline, p.history = p.half.timeline, p.half.history
	}
	p.half = half{}
}

// checkpointed: a checkpoint ended.
func (p *server) checkpointed() {
	if p.open {
		p.ckptTL = p.timeline
	}
}

// stop is a fast shutdown: sessions are terminated, nobody who waits is acknowledged, the
// shutdown checkpoint goes to all who stream.
func (p *server) stop() {
	if p.state != core.StateRunning || p.promoting {
		p.group.kill()
		p.exited("") // a startup that is told to stop exits cleanly
		return
	}
	w := p.n.w
	p.state, p.waiting = core.StateStopping, nil
	d := 5*time.Millisecond + w.upTo(min(w.o.Stop+w.stopSlow, stopMax))
	if !p.open {
		p.control, p.ckptTL = "shut down in recovery", p.timeline
		p.group.after(d, func() { p.exited("") })
		return
	}
	p.open, p.control = false, "shutting down"
	w.note(p.n, "stop", len(p.wal), "fast shutdown")
	p.group.after(d, p.shutdownCheckpoint)
}

func (p *server) shutdownCheckpoint() {
	if p.hung > 0 {
		p.group.after(200*time.Millisecond, p.shutdownCheckpoint)
		return
	}
	p.checkpoint, p.ckptTL = p.end(), p.timeline
	p.write(false)
	p.control = "shut down"
	p.lastWords(0)
}

// lastWords: the WAL senders wait until all who are connected have everything.
func (p *server) lastWords(round int) {
	for j := range p.senders {
		if s := &p.senders[j]; s.live && s.flushed < len(p.wal) && round < 100 {
			p.send(j)
			p.group.after(100*time.Millisecond, func() { p.lastWords(round + 1) })
			return
		}
	}
	p.group.after(p.n.w.between(40*time.Millisecond, 100*time.Millisecond), func() { p.exited("") })
}

// exited: the postmaster ended, by itself or killed; the warden sees to the rest.
func (p *server) exited(text string) {
	p.n.w.note(p.n, "exit", len(p.wal), "PostgreSQL ended: %q", text)
	p.halt()
	p.n.warden.postmasterEnded(text)
}

// halt is the end of all its processes, at once.
func (p *server) halt() {
	p.group.kill()
	p.open, p.promoting, p.waiting, p.state = false, false, nil, core.StateStopped
	p.receiver = receiver{}
	for j, m := range p.n.w.nodes {
		p.dropSender(j)
		if s := m.pg.senders[p.n.i]; s.live { // also one that this end has not heard of yet
			p.n.w.reset(&m.pg, p.n.i, s.conn)
		}
	}
}

// configure writes the files and has a running server read them.
func (p *server) configure(c core.Conf) {
	was := p.conf
	p.conf = c
	if p.state == core.StateStopped {
		return
	}
	w := p.n.w
	if was.Hold != c.Hold {
		p.group.after(w.upTo(w.o.Reload), func() { p.holds = p.conf.Hold })
	}
	if was.Follow != c.Follow {
		p.group.after(w.between(5*time.Millisecond, 150*time.Millisecond), func() {
			if p.conf.Follow == c.Follow {
				p.dropReceiver()
				p.connect()
			}
		})
	}
	if was.Sync.K == c.Sync.K && slices.Equal(was.Sync.Members, c.Sync.Members) {
		return
	}
	for j := range p.senders {
		if conn := p.senders[j].conn; p.senders[j].live {
			p.group.after(w.upTo(w.o.Reload), func() {
				if p.senders[j].conn == conn {
					p.senders[j].sync = p.conf.Sync // the file as it is now
					p.release(j)
				}
			})
		}
	}
	p.flip(c.Sync.K > 0)
}

// flip: the checkpointer turns waiting on or off, when it comes to it.
func (p *server) flip(on bool) {
	if on == p.waitsOn {
		return
	}
	w := p.n.w
	w.note(p.n, "switch", 0, "the checkpointer is to turn waiting on: %v", on)
	p.group.after(w.upTo(w.o.Reload+2*time.Second), func() {
		if p.conf.Sync.K > 0 == on {
			p.setWaits(on)
		}
	})
}

func (p *server) setWaits(on bool) {
	p.waitsOn = on
	if !on {
		for _, c := range p.waiting {
			p.acknowledge(c)
		}
		p.waiting = nil
	}
}

// insert is a client's commit. Where flushes hang it stands still; whoever only reads goes on.
func (p *server) insert() {
	if p.hung > 0 {
		p.group.after(200*time.Millisecond, func() {
			if p.open {
				p.insert()
			}
		})
		return
	}
	c := commit{at: len(p.wal), written: p.n.w.now}
	c.uid = p.write(true)
	if !p.waitsOn {
		p.acknowledge(c)
		return
	}
	p.waiting = append(p.waiting, c)
}

// look is a client's read: it sees all commits but those that wait for a standby, and may act on them. A commit that
// nobody was told of becomes visible when PostgreSQL ended and started under it.
func (p *server) look() {
	w := p.n.w
	for i := len(p.wal) - 1; i >= 0; i-- {
		uid := p.wal[i]
		if !w.commit[uid] || slices.ContainsFunc(p.waiting, func(c commit) bool { return c.uid == uid }) {
			continue
		}
		if !w.told[uid] {
			w.told[uid] = true
			w.note(p.n, "seen", int(uid), "a client reads commit %d, of which nobody was told", uid)
			w.hist.Saw(p.n.i, int(uid))
			p.promised("shows", uid)
		}
		return
	}
}

func (p *server) acknowledge(c commit) {
	w := p.n.w
	w.hist.Acknowledge(p.n.i, int(c.uid), c.written, w.now)
	w.told[c.uid] = true
	if w.story != nil { // arguments for a story that nobody hears are not free
		w.tell(p.n, "ack", "commit %d", c.uid)
	}
	p.promised("acknowledges", c.uid)
	p.elsewhere(c)
}

// promised is I5 for one commit, when a client learns of it.
func (p *server) promised(does string, uid int32) {
	w := p.n.w
	if l := w.store.records.Lease; l.Holder == p.n.name && !l.Released && w.hist.Sync && len(l.Sync.Members) > 0 && !w.noCopy && !w.onEnough(l.Sync, int(uid)) {
		w.violate("I5", "%s %s commit %d, which is on fewer than %d of %v", p.n.name, does, uid, l.Sync.K, l.Sync.Members)
	}
}

// release acknowledges what sender j's confirmations, by the settings that it has read, now
// suffice for. (PostgreSQL's walsenders each judge by their own reading of the settings.)
func (p *server) release(j int) {
	s := &p.senders[j]
	if len(p.waiting) == 0 || !slices.Contains(s.sync.Members, memberNames[j]) {
		return
	}
	kept := p.waiting[:0]
	for _, c := range p.waiting {
		have := 0
		for i := range p.senders {
			if o := &p.senders[i]; o.live && o.flushed > c.at && slices.Contains(s.sync.Members, memberNames[i]) {
				have++
			}
		}
		if have >= s.sync.K {
			p.acknowledge(c)
		} else {
			kept = append(kept, c)
		}
	}
	p.waiting = kept
}
