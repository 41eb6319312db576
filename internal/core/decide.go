package core

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
)

// Timing that is not the user's to choose. Each bounds a wait, none guards safety.
const (
	peerFresh       = 3 * time.Second        // an answer older than this says nothing about now
	tickIdle        = time.Second            // look again at least this often
	tickBusy        = 25 * time.Millisecond  // while an operation waits for a fact
	overriddenLimit = 5 * time.Second        // for our own settings to be in effect
	settleTime      = 300 * time.Millisecond // for all WAL senders to have read new settings
	rankDelay       = time.Second            // head start of each better ranked equal candidate
	renewSlack      = 20 * time.Millisecond
	opTimeout       = 30 * time.Second // an operation that does not get past a phase is taken back
	streamGrace     = 2 * time.Second  // a standby that does not stream is examined after this
	backoffMax      = time.Minute
)

// decider carries one decision. Rules add steps and reasons to it.
type decider struct {
	v      *View
	mem    Memory
	plan   Plan
	report Report
	me     MemberRecord
	spec   *spec.Cluster
	lease  LeaseRecord
	inst   *Instance
	seen   map[string]Instant // the SeenBad of the next tick
}

// Decide is the whole autopilot: pure, total and quick. See the package comment.
func Decide(mem Memory, v View) (Plan, Memory, Report) {
	return DecideOn(mem, &v)
}

// DecideOn is Decide for a view that its caller keeps and does not change meanwhile: a View is large,
// and copies of it were a fifth of the time that the simulator takes.
func DecideOn(mem Memory, v *View) (Plan, Memory, Report) {
	d := newDecider(mem, v)
	d.rules()
	d.evidence()
	d.conditions()
	d.filter()
	d.mem.SeenBad = d.seen
	return d.plan, d.mem, d.report
}

func newDecider(mem Memory, v *View) decider {
	d := decider{v: v, mem: mem, lease: v.Store.Lease, spec: &v.Store.Spec, inst: &v.Local.Instance, seen: map[string]Instant{}}
	d.mem.Failures = maps.Clone(mem.Failures)
	d.report.WakeAt = v.Now.Add(tickIdle)
	d.report.Role, d.report.Term, d.report.Beat = "standby", d.lease.Term, d.lease.Beat
	return d
}

// rules lists the decisions in their order. Each rule that decides the tick returns.
func (d *decider) rules() {
	if !d.v.Store.Known {
		// Without a single read there is nothing to judge by. A running primary goes on
		// until the warden's deadline; that is the fence, not this rule.
		d.condition(CondNoQuorum, "the store has not answered since this agent started: %s", orNone(d.v.Store.Err))
		d.say("store_unread", "nothing can be judged before the store has answered once")
		if d.v.Stopping {
			d.stopForExit()
		}
		return
	}
	me, ok := d.member(d.v.Self)
	if !ok && d.v.Store.Cluster.ID == "" {
		d.say("waiting_for_founding", "the cluster's first records are not written yet")
		return
	}
	if !ok || d.v.Ordinal != 0 && me.Ordinal != d.v.Ordinal {
		d.removed()
		return
	}
	d.me = me
	if me.Witness {
		d.report.Role = "witness"
		d.say("witness", "this member votes and runs no PostgreSQL")
		return
	}
	d.countFailures()
	d.judgeDisk()
	if d.holds() {
		d.report.Role = "primary"
		d.lead()
		return
	}
	d.follow()
}

// removed: our record is gone from the store, so the others no longer count on us.
func (d *decider) removed() {
	d.condition(CondRemoved, "%s is not a member of this cluster any more", d.v.Self)
	if d.v.Local.Warden.Alive && !d.v.Local.Warden.Empty {
		d.do(Step{Kind: StepFence, Why: because("removed", "a removed member must not serve")})
	}
}

// holds says that the newest known lease is ours. It does not say that it can be
// trusted: see trusted.
func (d *decider) holds() bool {
	return d.v.Store.LeaseRevision > 0 && d.lease.Holder == d.v.Self && !d.lease.Released
}

// trustUntil counts from the send time of our last successful write of this term, or of the last
// question that every other member vouched to (see failsafe): counting from the reply
// would trust the lease for the length of the round trip too long.
func (d *decider) trustUntil() Instant {
	sent := d.v.Store.TrustedFrom()
	if !d.holds() || sent == 0 {
		return 0
	}
	return sent.Add(d.timing().TTL.D() - d.timing().Margin.D())
}

// timing is that of the lease as it is written; see LeaseRecord.TTL.
func (d *decider) timing() spec.Lease {
	if d.lease.TTL == 0 {
		return d.spec.Lease // nobody holds it yet
	}
	return spec.Lease{TTL: d.lease.TTL, Margin: d.lease.Margin, Renew: d.spec.Lease.Renew}
}

func (d *decider) trusted() bool { return d.v.Now < d.trustUntil() }

// filter is the last word on safety: it only removes. At most one disruptive step a
// tick; none but the fence while paused; nothing disruptive while a job owns the data.
// What ends PostgreSQL goes first: it must not hang on a store that does not answer.
func (d *decider) filter() {
	slices.SortStableFunc(d.plan.Steps, func(a, b Step) int { return cmp.Compare(b.urgency(), a.urgency()) })
	kept, disruptive := d.plan.Steps[:0], false
	for _, s := range d.plan.Steps {
		if s.Disruptive() && s.Kind != StepFence {
			if r, refuse := d.refuse(disruptive); refuse {
				d.report.Reasons = append(d.report.Reasons, r)
				continue
			}
		}
		disruptive = disruptive || s.Disruptive()
		kept = append(kept, s)
	}
	d.plan.Steps = kept
}

func (d *decider) refuse(already bool) (Reason, bool) {
	switch {
	case already:
		return because("one_at_a_time", "another disruptive step goes first"), true
	case d.v.Store.Paused && !d.v.Stopping:
		return because("paused", "the cluster is paused: nothing is started, stopped or promoted"), true
	case d.dataJob():
		return because("job_running", "%s is still running", d.v.Local.Job.Kind), true
	}
	return Reason{}, false
}

// dataJob says that a job is running which owns the data directory.
func (d *decider) dataJob() bool {
	j := d.v.Local.Job
	return j.Running && j.Kind != string(StepCheckpoint)
}

func (d *decider) do(s Step) { d.plan.Steps = append(d.plan.Steps, s) }

// guarded is do with the guard of the lease: the step must not run after our trust ends, or that
// which a renewal before it in the plan wins, counted from now rather than from its sending.
func (d *decider) guarded(s Step) {
	until := d.trustUntil()
	if !d.trusted() {
		until = d.v.Now.Add(d.timing().TTL.D() - d.timing().Margin.D())
	}
	s.Guard = Guard{Term: d.lease.Term, Deadline: until}
	d.do(s)
}

func (d *decider) say(code Code, format string, args ...any) {
	if r := because(code, format, args...); !slices.Contains(d.report.Reasons, r) {
		d.report.Reasons = append(d.report.Reasons, r)
	}
}

func (d *decider) wakeIn(t time.Duration) { d.wakeAt(d.v.Now.Add(t)) }

func (d *decider) wakeAt(i Instant) {
	d.report.WakeAt = min(d.report.WakeAt, max(i, d.v.Now))
}

func find[T any](list []T, is func(T) bool) (one T, ok bool) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], true
	}
	return one, false
}

func (d *decider) member(name string) (MemberRecord, bool) {
	return find(d.v.Store.Members, func(m MemberRecord) bool { return m.Name == name })
}

func (d *decider) peer(name string) (Peer, bool) {
	return find(d.v.Peers, func(p Peer) bool { return p.Name == name })
}

// fresh says that the peer answered just now.
func fresh(p Peer) bool { return p.Known && p.Err == "" && p.Age < peerFresh }

// since remembers since when something is so. What is not so, or not asked about in a
// tick, is forgotten: a stale start would make a short break look long.
func (d *decider) since(key string, so bool) time.Duration { return d.sinceOf(key, "", so) }

// sinceOf is since for what may be so of several: the key is made only where it is so.
func (d *decider) sinceOf(kind, of string, so bool) time.Duration {
	if !so {
		return 0
	}
	return d.v.Now.Sub(d.begin(kind + of))
}

func (d *decider) begin(key string) Instant {
	at, ok := d.mem.SeenBad[key]
	if !ok {
		at = d.v.Now
	}
	d.seen[key] = at
	return at
}
