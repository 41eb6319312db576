package core

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
)

// promote makes a primary of the standby that holds the lease. The order matters:
// the sync set before the first write, the warden's deadline (armed by the renewal) before
// everything.
func (d *decider) promote() {
	d.wakeIn(tickBusy)
	if w := d.v.Local.Warden; !w.Alive || d.trusted() && (w.Deadline == 0 || w.Term != d.lease.Term) {
		d.say("not_armed", "the warden is not armed for term %d yet", d.lease.Term)
		return
	}
	if d.awaitsWatchdog() || d.givesUpPromotion() {
		return
	}
	if d.inst.Receiver && d.handedBy() == "" {
		d.configure(d.standbyConf(""), because("detach", "promotion of term %d: no more WAL from %s", d.lease.Term, d.inst.Follows))
		d.say("receiver_stopping", "waiting for the WAL receiver to end before promotion")
		return
	}
	if d.lease.Timeline <= d.inst.Timeline || d.v.Failed.Kind == StepPromote { // an earlier try may have taken the number
		d.lease.Written = d.lease.Written || d.lease.Timeline <= d.inst.Timeline // this term's first promotion came to be
		d.lease.Timeline = d.nextTimeline()
		d.putRenewal(d.lease.Sync, because("timeline", "timeline %d is this promotion's, before it begins", d.lease.Timeline))
		return
	}
	if len(d.lease.Sync.Members) > 0 && d.wroteBefore() {
		d.putRenewal(SyncSet{}, because("wrote_before", "this member has been primary in term %d before, at %s; what it shows now may be on none of %s: nobody else may lead until it is", d.lease.Term, d.inst.Position(), d.lease.Sync.text()))
		return
	}
	if len(d.lease.Sync.Members) > 0 && d.loose() {
		d.putRenewal(SyncSet{}, because("loose", "the first commits could be let go by who is not in %s: the lease promises nobody until that is ruled out", d.lease.Sync.text()))
		return
	}
	why := because("promote", "the lease of term %d is ours until the deadline", d.lease.Term)
	d.configure(d.conf(d.handedBy(), d.firstSync()), why) // after a handover as it is: nothing comes any more, and writing it anew is outage
	d.confirm()
	d.guarded(Step{Kind: StepPromote, Timeline: d.lease.Timeline, Why: why})
	d.createSlots() // while it promotes, and not before: who streams already judges commits by older settings
}

// givesUpPromotion ends a promotion that comes to no end, if somebody else can lead. What follows is that of a start which was given
// up: killed, and the lease released on the proof of that.
func (d *decider) givesUpPromotion() bool {
	still := d.promotionStill()
	who, ok := d.successor()
	if !ok || d.storeSilent() || still < max(promotionMax, d.recoveryMax(), d.patience()) {
		return false
	}
	d.mem.failed(givenUp, Failure{Count: 1, At: d.v.Now})
	d.do(Step{Kind: StepFence, Why: because("promotion_given_up", "the promotion of term %d has come to nothing for %s, and %s can lead", d.lease.Term, still.Round(time.Second), who)})
	return true
}

// handedBy: this term was given by the last holder itself, after a clean stop whose last record is here.
// A receiver that still runs can get nothing more, and the promotion ends it.
func (d *decider) handedBy() string {
	if op := d.v.Store.Operation; op.Active() && op.Kind == OpSwitchover && op.Phase == PhaseStopping && op.To == d.v.Self && op.Term+1 == d.lease.Term && op.From == d.inst.Follows && !d.lease.Written {
		return op.From
	}
	return ""
}

// wroteBefore: a primary that ended, served reads while the store was away, and is promoted in its own term
// again. Its WAL goes beyond where the term began, or a renewal was written by it as primary.
// See primaryConf: here the set ends, as sessions that read are open already.
func (d *decider) wroteBefore() bool {
	return d.lease.Written || d.inst.Position().LSN > d.lease.LSN
}

// loose: somebody streams from here already who is not in the lease's set, or whose WAL sender may count one who is not. A WAL sender judges by the
// settings that it has read, and until it reads those of this promotion they are a standby's,
// which name everybody. (Who comes later is forked after the promotion's settings are written.)
func (d *decider) loose() bool {
	set, list := d.lease.Sync, d.inst.Senders
	unnamed := func(name string) bool { return !slices.Contains(set.Members, name) }
	return d.inst.SyncK < set.K || len(list) > 0 && slices.ContainsFunc(d.inst.SyncNames, unnamed) || slices.ContainsFunc(list, func(s Sender) bool { return unnamed(s.Member) })
}

// leadPrimary is the everyday work of a running primary.
func (d *decider) leadPrimary(sync SyncSet) {
	switch {
	case d.v.Store.Cluster.SystemID == "" && d.inst.SystemID != "":
		next := d.v.Store.Cluster
		next.SystemID = d.inst.SystemID
		d.do(Step{Kind: StepPutCluster, Cluster: &next, Expect: d.v.Store.ClusterRevision, Why: because("bootstrapped", "the cluster's database is %s", d.inst.SystemID)})
	case !d.inst.Roles:
		d.guarded(Step{Kind: StepRoles, Why: because("roles", "pgherd's own roles are missing")})
	}
	d.configure(d.primaryConf(sync), d.whyConfigured())
	d.createSlots()
	d.dropSlots()
	d.markGood()
	if d.inst.CheckpointTimeline != 0 && d.inst.CheckpointTimeline < d.inst.Timeline && d.rewindsAhead() {
		// pg_rewind on the others reads our timeline from the control file, which a fast
		// promotion leaves behind until the next checkpoint.
		d.job(Step{Kind: StepCheckpoint, ID: "timeline", Why: because("checkpoint", "timeline %d must reach the control file before others can rewind", d.inst.Timeline)})
	}
	if !d.handleRequest() {
		d.watchLost()
	}
}

// rewindsAhead: a member does not stream, so its data may have to be rewound. Only then is a checkpoint
// worth what it costs clients, who have just waited for a promotion. (One that does not answer may still hear us.)
func (d *decider) rewindsAhead() bool {
	return slices.ContainsFunc(d.v.Peers, func(p Peer) bool {
		m, _ := d.member(p.Name)
		s, _ := d.sender(p.Name)
		away := !m.Witness && !s.Streaming
		gone := d.sinceOf("away:", p.Name, away)
		crashed := away && p.Instance.State == StateStopped && p.Instance.Control == "in production"
		return gone > 10*calmAfter || fresh(p) && (gone > calmAfter || crashed)
	})
}

// createSlots gives every other data member its slot; a slot whose WAL is gone is
// dropped first, for it can never be used again.
func (d *decider) createSlots() {
	for _, m := range d.v.Store.Members {
		if m.Name == d.v.Self || m.Witness {
			continue
		}
		slot, ok := d.slot(spec.SlotName(m.Name))
		if ok && slot.Lost && !slot.Active {
			d.condition(CondSlotLost, "the slot of %s lost its WAL", m.Name)
			d.do(Step{Kind: StepDropSlot, Slot: slot.Name, Why: because("slot_lost", "the slot's WAL is gone")})
			ok = false
		}
		if !ok {
			d.do(Step{Kind: StepCreateSlot, Slot: spec.SlotName(m.Name), Why: because("slot", "%s streams through its own slot", m.Name)})
		}
	}
}

// dropSlots removes slots that belong to nobody: they would keep WAL for ever.
func (d *decider) dropSlots() {
	for _, s := range d.inst.Slots {
		if s.Active || !strings.HasPrefix(s.Name, spec.SlotPrefix) {
			continue
		}
		owned := slices.ContainsFunc(d.v.Store.Members, func(m MemberRecord) bool {
			return !m.Witness && spec.SlotName(m.Name) == s.Name && (m.Name != d.v.Self) && d.holds()
		})
		if !owned {
			d.do(Step{Kind: StepDropSlot, Slot: s.Name, Why: because("slot_unowned", "nobody streams through it here")})
		}
	}
}

func (d *decider) slot(name string) (Slot, bool) {
	return find(d.inst.Slots, func(s Slot) bool { return s.Name == name })
}

// conf is the configuration of this member in the given role.
func (d *decider) conf(follow string, sync SyncSet) Conf {
	c := Conf{Follow: follow, Sync: sync, Params: d.params(), HBA: d.spec.Postgres.HBA, Members: make([]string, 0, len(d.v.Store.Members))}
	for _, m := range d.v.Store.Members {
		if !m.Witness {
			c.Members = append(c.Members, m.Name)
		}
		if m.Name == follow {
			c.Host, c.Port = m.Address, m.PGPort
		}
	}
	for _, p := range d.v.Store.Poolers {
		c.Poolers = append(c.Poolers, p.Name)
	}
	return c
}

// standbyConf is the configuration of a standby. It names everybody for commits to
// wait for: it has none, but the switch from "nobody" to "somebody" is made by the
// checkpointer, who may be in a long fsync when the promotion comes, while a change from
// somebody to somebody else is read by each session itself.
func (d *decider) standbyConf(follow string) Conf {
	return d.conf(follow, d.waitForAny())
}

func (d *decider) waitForAny() SyncSet {
	if !d.synchronous() {
		return SyncSet{}
	}
	names := d.v.Store.Confirming(d.v.Self)
	return SyncSet{Members: names, K: min(d.spec.SyncStandbys, len(names))}
}

func (d *decider) configure(c Conf, why Reason) {
	if c.Key() == d.v.Local.ConfKey {
		return
	}
	if d.holds() && !slices.ContainsFunc(d.plan.Steps, isPutLease) {
		// A write of ours whose outcome is unknown could still shrink the set in the lease
		// after PostgreSQL has stopped to wait for it. A renewal that succeeds rules that out.
		d.putRenewal(d.lease.Sync, because("renew", "the sync set is confirmed before PostgreSQL is told another"))
	}
	d.mem.Proof = SyncProof{} // what is seen in effect now may be from before what was written last, and come again after this
	d.do(Step{Kind: StepConfigure, Conf: &c, Why: why})
}

// params are the spec's parameters, except where an order must be kept or the
// newest ones were tried and did not work.
func (d *decider) params() map[string]string {
	out := d.spec.Postgres.Parameters // not ours to change: cloned where one is to differ
	if d.rejected() {
		out = d.v.Local.Good
	}
	for _, name := range spec.OrderedParams {
		given := out[name]
		if given == "" { // the error that "" makes costs more than the rest
			continue
		}
		if want, err := strconv.Atoi(given); err == nil {
			if bent := strconv.Itoa(d.ordered(name, want)); bent != given {
				out = maps.Clone(out)
				out[name] = bent
			}
		}
	}
	return out
}

// ordered bends one ordered setting: a standby keeps at least what the primary has, a
// primary does not grow before every standby that answers has grown.
func (d *decider) ordered(name string, want int) int {
	if !d.inst.Primary && !d.holds() {
		return max(want, d.inst.PrimaryLimits[name])
	}
	have := d.inst.Limits[name]
	if have == 0 || want <= have {
		return want
	}
	for _, p := range d.v.Peers {
		if fresh(p) && p.Instance.Standby() && p.Instance.Limits[name] < want {
			d.say("standbys_first", "%s grows to %d here when %s has it", name, want, p.Name)
			return have
		}
	}
	return want
}

// rejected says that PostgreSQL did not start under the newest spec.
func (d *decider) rejected() bool {
	return d.mem.RejectedRevision != 0 && d.mem.RejectedRevision == d.v.Store.SpecRevision && len(d.v.Local.Good) > 0
}

// markGood remembers the parameters under which PostgreSQL runs with nothing pending, and
// has for a moment: what waits for a restart is seen only some time after the reload.
func (d *decider) markGood() {
	quiet := !slices.ContainsFunc(d.plan.Steps, func(s Step) bool { return s.Kind == StepConfigure })
	if d.since("quiet", quiet && len(d.inst.Pending) == 0) < peerFresh || d.rejected() || maps.Equal(d.params(), d.v.Local.Good) {
		return
	}
	d.do(Step{Kind: StepMarkGood, Conf: &Conf{Params: d.params()}, Why: because("good", "PostgreSQL runs with these parameters")})
}
