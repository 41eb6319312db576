package core

import (
	"fmt"
	"slices"

	"github.com/pgherd/pgherd/internal/spec"
)

// Who is to confirm commits: what is wanted, what is proven, and how it is told. The moves
// between two sets are in quorum.go.

func (d *decider) synchronous() bool { return d.spec.Durability == spec.DurabilitySync }

// syncSets gives the set to record in the lease now and the set that PostgreSQL
// is to wait for now: one move towards the wanted set, safe from where we are.
func (d *decider) syncSets() (record, conf SyncSet) {
	if !d.inst.Primary {
		d.mem.Proof = SyncProof{}
		return d.lease.Sync, SyncSet{}
	}
	p, want := SyncSet{Members: d.inst.SyncNames, K: d.inst.SyncK}, SyncSet{}
	if d.synchronous() {
		want = d.wantedSync()
	}
	if names := p.text(); d.mem.Proof.Names != names {
		d.mem.Proof = SyncProof{Names: names, Since: d.v.Now}
	}
	record, conf = d.syncMove(d.lease.Sync, p, want)
	if !conf.same(p) {
		d.mem.Proof = SyncProof{} // what is seen in effect may end before it is seen again
	}
	return record, conf
}

func (d *decider) syncMove(r, p, want SyncSet) (record, conf SyncSet) {
	if d.since("overridden", len(r.Members) > 0 && !p.within(r)) > overriddenLimit {
		// Somebody else set what commits wait for (ALTER SYSTEM outranks our file). The lease
		// must not promise more than PostgreSQL keeps.
		d.condition(CondOverridden, "PostgreSQL waits for %s; pgherd set %s", p.text(), r.text())
		return SyncSet{}, want
	}
	proven := needsProof(r, p, want) && d.switchedOn(r) && d.proven(want)
	return quorumMove(r, p, want, proven)
}

// switchedOn: PostgreSQL waits for somebody at all. From "nobody" to "somebody" the
// checkpointer throws the switch, which it does not while it writes or flushes. A checkpoint
// that was asked for after the change and is done proves that it has read it.
func (d *decider) switchedOn(r SyncSet) bool {
	if len(r.Members) > 0 || d.mem.Proof.On {
		return true
	}
	id, j := fmt.Sprintf("sync-%d", d.mem.Proof.Since), d.v.Local.Job
	if j.Kind == string(StepCheckpoint) && j.ID == id && !j.Running && j.Err == "" {
		// What was read before its end knows nothing of the commits that went by until then.
		d.mem.Proof.On = d.v.Local.ReadAt >= j.EndedAt
		return d.mem.Proof.On
	}
	d.job(Step{Kind: StepCheckpoint, ID: id, Why: because("sync_switch", "commits count as kept on standbys only when PostgreSQL is known to wait")})
	return false
}

// proven: every member of the set has flushed what was acknowledged before the set
// came into effect.
func (d *decider) proven(set SyncSet) bool {
	if d.mem.Proof.LSN == 0 {
		if d.v.Local.ReadAt.Sub(d.mem.Proof.Since) >= settleTime {
			d.mem.Proof.LSN = d.inst.WriteLSN
		}
		d.wakeIn(settleTime)
		return false
	}
	for _, name := range set.Members {
		s, ok := d.sender(name)
		if !ok || s.FlushLSN < d.mem.Proof.LSN {
			d.say("sync_not_proven", "%s has not confirmed %s yet", name, d.mem.Proof.LSN)
			d.wakeIn(settleTime)
			return false
		}
	}
	return true
}

// wantedSync is the set for the standbys as they are: those that stream, and those
// that stopped streaming less than a ttl ago (a short break must not weaken commits).
func (d *decider) wantedSync() SyncSet {
	eligible := d.v.Store.Confirming(d.v.Self)
	members := slices.DeleteFunc(slices.Clone(eligible), func(name string) bool {
		s, ok := d.sender(name)
		gone := !ok || !s.Streaming
		missing := d.sinceOf("sync:", name, gone)
		return gone && !(d.counted(name) && missing < d.spec.Lease.TTL.D())
	})
	if d.spec.Strict && len(members) < d.spec.SyncStandbys {
		members = eligible // waits for members that are not there: commits block, as asked
	}
	return d.anyOf(d.v.Self, members)
}

// anyOf is the set to keep the holder's commits on, of those who could.
func (d *decider) anyOf(holder string, names []string) SyncSet {
	h, _ := d.member(holder)
	near := func(name string) bool { // who names no zone is a domain of its own
		m, _ := d.member(name)
		return m.Tags.Zone != "" && m.Tags.Zone == h.Tags.Zone
	}
	names = spread(names, d.spec.SyncStandbys, near, d.counted)
	return SyncSet{Members: names, K: min(d.spec.SyncStandbys, len(names))}
}

// counted: the member is part of what commits wait for now.
func (d *decider) counted(name string) bool {
	return slices.Contains(d.lease.Sync.Members, name) || slices.Contains(d.inst.SyncNames, name)
}

// firstSync is what a member waits for from its first write on: the set in the lease,
// or, when that permits nobody, the standbys that are there to follow.
func (d *decider) firstSync() SyncSet {
	if len(d.lease.Sync.Members) > 0 || !d.synchronous() {
		return d.lease.Sync
	}
	var names []string
	for _, name := range d.v.Store.Confirming(d.v.Self) {
		if p, ok := d.peer(name); d.spec.Strict || ok && fresh(p) && p.Instance.Standby() {
			names = append(names, name)
		}
	}
	return d.anyOf(d.v.Self, names)
}

func (d *decider) sender(name string) (Sender, bool) {
	return find(d.inst.Senders, func(s Sender) bool { return s.Member == name })
}
