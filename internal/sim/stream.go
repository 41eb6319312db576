package sim

import (
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/wal"
)

// Streaming replication: a standby connects to whom it is told to follow, the primary
// sends what it has, the standby confirms what it has flushed.

const retryPause = 100 * time.Millisecond // wal_retrieve_retry_interval

// connect is one attempt of the startup process to have a WAL receiver; it repeats itself
// while there is none.
func (p *server) connect() {
	if !p.asStandby || p.open || p.promoting || p.receiver.live || p.conf.Follow == "" || p.state == core.StateStopping {
		return
	}
	w, source := p.n.w, p.n.w.byName(p.conf.Follow)
	if source == nil || source == p.n {
		return
	}
	d, ok := w.delivery(p.n.i, source.i)
	if !ok {
		p.retry()
		return
	}
	epoch := p.group.epoch
	source.pg.group.after(d, func() { source.pg.accept(p, epoch) })
	p.attemptIn(3*d + time.Second) // should nothing come back
}

func (p *server) retry() { p.attemptIn(retryPause + p.n.w.upTo(400*time.Millisecond)) }

// attemptIn plans the next attempt, in place of the one that was planned.
func (p *server) attemptIn(d time.Duration) {
	p.attempt++
	attempt := p.attempt
	p.group.after(d, func() {
		if p.attempt == attempt {
			p.connect()
		}
	})
}

// accept is the primary's answer to a standby that wants to stream.
func (p *server) accept(standby *server, epoch int) {
	w := p.n.w
	d, ok := w.delivery(p.n.i, standby.n.i)
	if !ok || standby.group.epoch != epoch {
		return
	}
	// A slot serves one connection, also one whose other end is dead and not yet noticed.
	if p.state != core.StateRunning || p.senders[standby.n.i].live || !p.slots[standby.n.i] || p.lostSlots[standby.n.i] || !p.serves(standby) {
		standby.group.after(d, standby.retry)
		return
	}
	w.conns++
	conn := w.conns
	p.senders[standby.n.i] = sender{live: true, busy: true, conn: conn, flushed: len(standby.wal), sync: p.conf.Sync}
	standby.group.after(d, func() {
		if standby.receiver.live || !standby.asStandby || standby.promoting || standby.conf.Follow != p.n.name {
			w.reset(p, standby.n.i, conn)
			return
		}
		if p.senders[standby.n.i].conn != conn { // gone already; its end must not overtake its beginning
			standby.retry()
			return
		}
		standby.receiver, standby.evidence.proven = receiver{live: true, conn: conn, from: p.n.i}, true
		w.note(standby.n, "stream", p.n.i, "streams from %s at %d records", p.n.name, len(standby.wal))
		standby.confirm(p, conn, len(standby.wal)) // its first word; the primary sends from there
	})
}

// serves: the standby's WAL is, by the numbers of timelines and positions, a part of ours;
// PostgreSQL looks no closer. When it is not the same WAL after all, two histories mix.
func (p *server) serves(standby *server) bool {
	at, ok := p.history.ForkOf(standby.timeline, p.timeline)
	if !ok || standby.end() > at || len(standby.wal) > len(p.wal) || len(standby.wal) < p.oldest {
		return false
	}
	if n := len(standby.wal); n > 0 && p.wal[n-1] != standby.wal[n-1] {
		p.n.w.note(standby.n, "forked", p.n.i, "takes WAL of %s, whose history is another", p.n.name)
		p.n.w.hist.Forked(standby.n.i, p.n.i)
		return false
	}
	return true
}

// send lets the sender for member j send what is new; one message is under way at a time.
func (p *server) send(j int) {
	s := &p.senders[j]
	if !s.live || s.busy || s.flushed >= len(p.wal) {
		return
	}
	w, conn := p.n.w, s.conn
	d, ok := w.delivery(p.n.i, j)
	if !ok { // TCP sends it again
		s.busy = true
		p.group.after(200*time.Millisecond, func() {
			if s := &p.senders[j]; s.conn == conn {
				s.busy = false
				p.send(j)
			}
		})
		return
	}
	s.busy = true
	data, tl, history := p.wal[:len(p.wal):len(p.wal)], p.timeline, p.history
	standby := &w.nodes[j].pg
	standby.group.after(d, func() { standby.receive(p, conn, data, tl, history) })
}

// receive appends and confirms.
func (p *server) receive(from *server, conn int, data []int32, tl wal.Timeline, history wal.History) {
	if !p.receiver.live || p.receiver.conn != conn {
		return
	}
	if p.hung > 0 { // the flush never returns; it is confirmed when it does
		p.group.after(200*time.Millisecond, func() { p.receive(from, conn, data, tl, history) })
		return
	}
	if len(data) > len(p.wal) {
		p.wal = append(p.wal, data[len(p.wal):]...)
		p.timeline, p.history = tl, history
		if w := p.n.w; w.story != nil {
			w.tell(p.n, "receive", "up to record %d", data[len(data)-1])
		}
		p.replay()
	}
	p.confirm(from, conn, len(p.wal))
}

func (p *server) confirm(to *server, conn, flushed int) {
	w := p.n.w
	d, ok := w.delivery(p.n.i, to.n.i)
	if !ok {
		p.group.after(200*time.Millisecond, func() {
			if p.receiver.live && p.receiver.conn == conn {
				p.confirm(to, conn, flushed)
			}
		})
		return
	}
	to.group.after(d, func() {
		s := &to.senders[p.n.i]
		if !s.live || s.conn != conn {
			return
		}
		s.busy, s.flushed = false, max(s.flushed, flushed)
		for j := range to.senders {
			if to.senders[j].live {
				to.release(j)
			}
		}
		to.send(p.n.i)
	})
}

// replay applies what was received, at once or slowly.
func (p *server) replay() {
	w := p.n.w
	if w.replaySlow == 0 {
		p.replayed = len(p.wal)
		return
	}
	upTo := len(p.wal)
	p.group.after(w.upTo(w.replaySlow), func() { p.replayed = max(p.replayed, min(upTo, len(p.wal))) })
}

// dropReceiver ends our end; the other learns of it, or not.
func (p *server) dropReceiver() {
	if !p.receiver.live {
		return
	}
	from, conn := &p.n.w.nodes[p.receiver.from].pg, p.receiver.conn
	p.receiver = receiver{}
	p.n.w.reset(from, p.n.i, conn)
}

// reset tells a sender that its connection is gone.
func (w *World) reset(p *server, j, conn int) {
	d, ok := w.delivery(j, p.n.i)
	if !ok || w.nodes[j].down > 0 {
		d = w.o.TCPTimeout
	}
	p.group.after(d, func() {
		if p.senders[j].conn == conn {
			p.senders[j] = sender{}
		}
	})
}

func (p *server) dropSender(j int) {
	s := p.senders[j]
	p.senders[j] = sender{}
	if !s.live {
		return
	}
	w, standby := p.n.w, &p.n.w.nodes[j].pg
	d, ok := w.delivery(p.n.i, j)
	if !ok || p.n.down > 0 {
		d = w.o.TCPTimeout
	}
	standby.group.after(d, func() { standby.lost(s.conn) })
}

// lost: the connection ended under the receiver.
func (p *server) lost(conn int) {
	if p.receiver.live && p.receiver.conn == conn {
		p.receiver = receiver{}
		p.retry()
	}
}

// heardNothing: timeouts end what was connected to the other.
func (p *server) heardNothing(from *node) {
	p.dropSender(from.i)
	if p.receiver.live && p.receiver.from == from.i {
		p.dropReceiver()
		p.retry()
	}
}
