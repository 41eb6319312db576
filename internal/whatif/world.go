package whatif

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// Facts are what is known now.
type Facts struct {
	Store  core.StoreView       // the newest records
	Peers  map[string]core.Peer // the newest answers, by member; who did not answer is not there
	Voters []string             // of the embedded store; empty: an external one, which is taken to bear any loss of members
}

// world is the facts with the faults in them.
type world struct {
	Facts
	faults []Fault
	names  []string
	now    core.Instant
}

func newWorld(f Facts, faults []Fault) *world {
	w := &world{Facts: f, faults: faults, now: core.Instant(time.Hour)}
	for _, m := range f.Store.Members {
		w.names = append(w.names, m.Name)
	}
	return w
}

func (w *world) has(what, kind string) bool { return slices.Contains(w.faults, Fault{what, kind}) }

// up: the member's machine and agent run. Who does not answer now is taken to be down.
func (w *world) up(name string) bool {
	_, answers := w.Peers[name]
	return answers && !w.has(name, Down)
}

// serves: its PostgreSQL runs too.
func (w *world) serves(name string) bool {
	p := w.Peers[name]
	return w.up(name) && !w.has(name, Postgres) && p.Instance.State == core.StateRunning
}

// hears: both are up, and their link is.
func (w *world) hears(a, b string) bool {
	if !w.up(a) || !w.up(b) {
		return false
	}
	if a == b {
		return true
	}
	return !w.has(a, Cut) && !w.has(b, Cut) && !w.has(a+"-"+b, Cut) && !w.has(b+"-"+a, Cut)
}

// hasStore: the member reaches a voter that may lead the store, directly or by way of another voter.
func (w *world) hasStore(name string) bool {
	if w.has(Store, Down) || !w.up(name) {
		return false
	}
	if len(w.Voters) == 0 {
		return !w.has(name, Cut)
	}
	return slices.ContainsFunc(w.Voters, func(leader string) bool {
		return w.votes(leader) > len(w.Voters)/2 &&
			(w.hears(name, leader) || slices.ContainsFunc(w.Voters, func(v string) bool { return w.hears(name, v) && w.hears(v, leader) }))
	})
}

// votes counts the voters that a leader of the store would have.
func (w *world) votes(leader string) (n int) {
	for _, v := range w.Voters {
		if w.hears(leader, v) {
			n++
		}
	}
	return n
}

func (w *world) record(name string) core.MemberRecord {
	i := slices.IndexFunc(w.Store.Members, func(m core.MemberRecord) bool { return m.Name == name })
	if i < 0 {
		return core.MemberRecord{Name: name}
	}
	return w.Store.Members[i]
}

// seenBy are the peers as self sees them once the fault has been there for a while. With a lease that is vacant they stand for
// election, too.
func (w *world) seenBy(self string, vacant *core.LeaseRecord) (peers []core.Peer) {
	for _, name := range w.names {
		if name == self {
			continue
		}
		p := core.Peer{Name: name, Err: "it does not answer", Age: time.Hour}
		if w.hears(self, name) {
			p = w.Peers[name]
			p.Name, p.Known, p.Age, p.Err = name, true, 0, ""
			if !w.serves(name) && !w.record(name).Witness {
				p.Instance = core.Instance{State: core.StateStopped}
			}
			if vacant != nil && p.Instance.Standby() && w.hasStore(name) {
				p = stands(p, vacant)
			}
		}
		peers = append(peers, p)
	}
	return peers
}

// stands is a standby that has judged the lease vacant: its receiver is gone for good, and what it received is replayed.
func stands(p core.Peer, l *core.LeaseRecord) core.Peer {
	p.Vacant, p.Term, p.Beat = true, l.Term, l.Beat
	p.Instance = settled(p.Instance)
	return p
}

func settled(i core.Instance) core.Instance {
	i.Receiver, i.Streaming, i.ReplayDone = false, false, true
	i.ReplayLSN = max(i.ReplayLSN, i.ReceivedLSN)
	return i
}
