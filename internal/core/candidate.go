package core

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/wal"
)

// vacant says that the lease may be taken: it was released, never taken, or has not
// changed for a full ttl since we saw it change. The compare-and-swap on the revision
// protects against a renewal that we have not seen.
func (d *decider) vacant() bool {
	if d.v.Store.LeaseRevision == 0 || d.lease.Released {
		return true
	}
	if d.lease.Known > 0 && d.me.Ordinal > d.lease.Known {
		// The holder may go on without the store by the word of all others that it knows (see failsafe).
		d.say("holder_knows_us_not", "%s has not renewed its lease since this member joined: it may lead without asking this member", d.lease.Holder)
		return false
	}
	expires := d.v.Store.LeaseSeenAt.Add(d.timing().TTL.D())
	if d.v.Now < expires {
		d.wakeAt(expires)
		return false
	}
	// Seen unchanged by a read that was sent after the ttl: a member that has only lost the
	// store itself would cut its replication from a healthy primary otherwise.
	if d.v.Store.ReadAt < expires {
		d.say("lease_unread", "the lease was not seen to change for its ttl, but the store has not answered since")
		return false
	}
	return true
}

// vacancy is what a member does while nobody leads.
func (d *decider) vacancy() {
	if d.mem.VacantSince == 0 || d.mem.VacantTerm != d.lease.Term {
		d.mem.VacantSince, d.mem.VacantTerm = d.v.Now, d.lease.Term
	}
	if d.v.Store.Cluster.SystemID == "" {
		d.vacantNew()
		return
	}
	if d.v.Store.Paused {
		d.say("paused", "the lease of term %d is vacant, but the cluster is paused", d.lease.Term)
		return
	}
	switch {
	case d.v.Local.Data.State != DataPresent:
		d.say("no_data", "this member has no data to lead with: %s", d.v.Local.Data.State)
	case !d.dataIsOurs():
	case d.dataJob():
		d.say("job_running", "%s is running: its data cannot lead", d.v.Local.Job.Kind)
	case d.inst.State == StateStopped:
		d.vacantStopped()
	case d.inst.Standby():
		d.vacantStandby()
	default:
		d.say("waiting_for_postgres", "PostgreSQL is %s", d.inst.State)
		d.wakeIn(10 * tickBusy)
	}
}

// vacantNew: the cluster has no database yet; only one member may ever make it.
func (d *decider) vacantNew() {
	if d.v.Store.Cluster.BootstrapBy != d.v.Self {
		d.say("waiting_for_bootstrap", "%s makes the cluster's database", d.v.Store.Cluster.BootstrapBy)
		return
	}
	if d.v.Local.Data.State == DataBroken {
		d.say("no_data", "the database is to be made here, and the data directory is broken")
		return
	}
	if !d.unwatched() && !d.report.Unwell {
		d.take(because("bootstrap", "this member makes the cluster's database"))
	}
}

// vacantStopped starts stopped data as a standby, so that how far it reaches is known
// to the last byte. The old primary waits a moment when others can stand: started
// now, its last WAL would most likely have to be rewound a second later.
func (d *decider) vacantStopped() {
	if d.lease.Holder == d.v.Self {
		waited := d.v.Now.Sub(d.mem.VacantSince)
		for _, p := range d.v.Peers {
			if fresh(p) && p.Instance.Standby() && waited < d.spec.Lease.TTL.D() {
				d.say("others_first", "%s can stand for election; this data is started if nobody leads in %s", p.Name, (d.spec.Lease.TTL.D() - waited).Round(time.Second))
				return
			}
		}
	}
	d.start(true, d.standbyConf(""), because("stand", "nobody leads: started as a standby to see how far its WAL reaches"))
}

// vacantStandby stops the receiver for good and stands for election. A standby whose
// receiver runs could still confirm commits of the old primary after it was counted.
func (d *decider) vacantStandby() {
	alone := d.standbyConf("")
	settled := alone.Key() == d.v.Local.ConfKey || d.lease.Released // released: nobody is left who could send
	if d.inst.Receiver || !settled {
		d.configure(alone, because("detach", "the lease of term %d is vacant: no more WAL of %s is confirmed", d.lease.Term, d.lease.Holder))
		d.say("receiver_stopping", "waiting for the WAL receiver to end")
		d.wakeIn(tickBusy)
		return
	}
	if !d.inst.ReplayDone {
		d.say("replaying", "replaying received WAL, at %s", d.inst.ReplayLSN)
		d.wakeIn(tickBusy)
		return
	}
	d.report.Vacant = true
	d.elect()
}

// heard are the peers whose word counts: they judge the same write of the lease vacant
// and can confirm nothing more to its holder. One that judged an older write may have
// seen the renewal since, and follow the holder again; if the holder renews after both
// judged, our compare-and-swap fails.
func (d *decider) heard() []Peer {
	var out []Peer
	for _, p := range d.v.Peers {
		same := p.Term == d.lease.Term && p.Beat == d.lease.Beat && !p.Instance.Receiver
		if fresh(p) && p.Vacant && same && p.Instance.Standby() && p.Instance.SystemID == d.inst.SystemID {
			out = append(out, p)
		}
	}
	return out
}

// elect takes the lease when this member is the best of enough members.
func (d *decider) elect() {
	d.wakeIn(2 * tickBusy)
	if d.me.Tags.NoFailover {
		d.say("no_failover", "this member is tagged no_failover, or drained")
		return
	}
	if d.unwatched() || d.report.Unwell && !d.forced() {
		return
	}
	heard := d.heard()
	if d.forced() {
		d.take(because("forced", "an operator accepts what is lost at %s; heard %s", d.inst.Position(), peerNames(heard)))
		return
	}
	if d.outranked(heard) || !d.covered(heard) {
		return
	}
	d.take(because("elected", "at %s, ahead of or equal to %s", d.inst.Position(), peerNames(heard)))
}

// outranked says (with the reason) that another member should take the lease.
func (d *decider) outranked(heard []Peer) bool {
	mine, better := d.inst.Position(), 0
	for _, p := range heard {
		m, ok := d.member(p.Name)
		if !ok || m.Tags.NoFailover || p.Unwatched || p.Unwell || !(d.lease.Written && p.Instance.Timeline >= d.lease.Timeline) && d.tooFarBehind(&p.Instance) > 0 {
			continue
		}
		switch p.Instance.Position().Compare(mine) {
		case 1:
			d.say("behind", "%s is at %s, this member at %s", p.Name, p.Instance.Position(), mine)
			return true
		case 0:
			if d.ranksBefore(m) {
				better++
			}
		}
	}
	ready := d.mem.VacantSince.Add(time.Duration(better) * rankDelay)
	if d.v.Now < ready {
		d.say("outranked", "%d equal members go first by priority or name", better)
		d.wakeAt(ready)
		return true
	}
	return false
}

func (d *decider) ranksBefore(m MemberRecord) bool {
	if m.Tags.Priority != d.me.Tags.Priority {
		return m.Tags.Priority > d.me.Tags.Priority
	}
	return m.Ordinal < d.me.Ordinal
}

// covered says that every acknowledged commit that must survive is on this member,
// being the furthest of those heard.
func (d *decider) covered(heard []Peer) bool {
	if d.hasAll(heard) {
		return true
	}
	if d.synchronous() {
		return d.coveredBySet(heard)
	}
	if lag := d.tooFarBehind(d.inst); lag > 0 {
		d.say("lag", "%d bytes behind the last known position of %s; max_lag_bytes is %d", lag, d.lease.Holder, d.spec.MaxLagBytes)
		return false
	}
	return true
}

// tooFarBehind gives how far, where commits wait for nobody and that is too far to lead. A timeline that was begun and
// never written outranks longer histories, and must not keep those from leading that it could not lead for.
func (d *decider) tooFarBehind(i *Instance) int64 {
	if lag := d.lease.LSN.Sub(d.lease.shared(i).LSN); !d.synchronous() && lag > d.spec.MaxLagBytes {
		return lag
	}
	return 0
}

// hasAll says that this member has all that the last holder ever wrote.
func (d *decider) hasAll(heard []Peer) bool {
	mine := d.inst.Position()
	if d.lease.Holder == d.v.Self {
		return true // the last holder has everything that was ever acknowledged
	}
	for _, p := range heard {
		// In sync an election leaves out only what was never acknowledged; in async a higher timeline says nothing of
		// how much of an older one it left out.
		fork, ours := d.inst.History.ForkOf(p.Instance.Timeline, mine.Timeline)
		ours = d.synchronous() || ours && p.Instance.Position().LSN <= fork
		if p.Name == d.lease.Holder && p.Instance.Position().Compare(mine) <= 0 && ours {
			return true // it has everything, and no more than this member
		}
	}
	f := d.lease.Final // received the shutdown checkpoint, after which there is nothing?
	return f.LSN != 0 && mine.Timeline == f.Timeline && mine.LSN > f.LSN
}

// coveredBySet is R + W > N: enough of the sync set was heard that every acknowledged
// commit is on at least one of them, and we are not behind any of them.
func (d *decider) coveredBySet(heard []Peer) bool {
	set := d.lease.Sync
	if len(set.Members) == 0 {
		d.say("only_holder", "commits of term %d may exist on %s only", d.lease.Term, d.lease.Holder)
		return false
	}
	n := 0 // those ahead (they may be tagged no_failover) do not count: they may have what we lack
	if slices.Contains(set.Members, d.v.Self) {
		n++
	}
	for _, p := range heard {
		if slices.Contains(set.Members, p.Name) && p.Instance.Position().Compare(d.inst.Position()) <= 0 {
			n++
		}
	}
	if n < set.mustHear() {
		d.say("not_enough_heard", "heard %d of %d members that must be heard (commits are on %s)", n, set.mustHear(), set.text())
		return false
	}
	return true
}

// forced says that an operator has accepted the stated loss for this member.
func (d *decider) forced() bool {
	op := d.v.Store.Operation
	return op.Active() && op.Kind == OpFailover && op.Force && op.To == d.v.Self
}

// take writes the lease of the next term. Those who were heard at our own position have
// everything too: they are the sync set from the first moment, so that the next
// failure finds somebody even if it comes before the promotion.
func (d *decider) take(why Reason) {
	// Not so when the last holder takes it again: see loose.
	again := d.lease.Holder == d.v.Self
	equal := func(p Peer) bool { return !again && p.Instance.Position() == d.inst.Position() }
	next := d.newLease(d.v.Self, d.inst.Position().LSN, equal)
	if d.lease.Holder != "" && !d.hasAll(d.heard()) && (!d.synchronous() || d.forced()) {
		next.Lost = append(slices.Clone(next.Lost), Loss{d.lease.Holder, d.lease.Term, d.lease.shared(d.inst), d.lease.LSN})
	}
	if !again && d.lease.Holder != "" && d.lease.Final.LSN == 0 {
		next.Flaps++ // nobody asked for it
	}
	d.do(Step{Kind: StepPutLease, Expect: d.v.Store.LeaseRevision, Lease: &next, Why: why})
	d.wakeIn(0)
}

// newLease is the first record of the next term. has says which standbys are known to
// have every commit that the new holder has.
func (d *decider) newLease(holder string, at wal.LSN, has func(Peer) bool) LeaseRecord {
	var names []string
	for _, name := range d.v.Store.Confirming(d.v.Self) {
		p, ok := d.peer(name)
		if name != holder && ok && fresh(p) && p.Instance.Standby() && has(p) {
			names = append(names, name)
		}
	}
	l := LeaseRecord{Holder: holder, Term: d.lease.Term + 1, Beat: 1, LSN: at, Timeline: d.nextTimeline(), TTL: d.spec.Lease.TTL, Margin: d.spec.Lease.Margin, Lost: d.lease.Lost, Flaps: d.lease.Flaps, Known: d.knownOrdinal()}
	l.spokenOf(d.inst)
	if len(names) > 0 && d.synchronous() {
		l.Sync = d.anyOf(holder, names)
	}
	return l
}

func (d *decider) knownOrdinal() (highest int) {
	for _, m := range d.v.Store.Members {
		highest = max(highest, m.Ordinal)
	}
	return highest
}

func (d *decider) nextTimeline() wal.Timeline { return max(d.lease.Timeline, d.inst.Timeline) + 1 }
