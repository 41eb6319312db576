package core

import (
	"strings"
	"time"
)

// Health by a write. A server that answers reads may not have finished a flush for minutes, and
// one that is frozen answers nothing: neither loses its processes, so neither ends its reign
// by itself. What is judged here is a commit of our own, a second apart, and a small file of the
// agent's. docs/decisions/2026-11-25-health-by-a-write.md argues the limits.
const (
	patienceMax = 10 * time.Minute
	ledWell     = 10 * time.Minute
)

// patience is how long a write may take before this member gives the lease up for it.
func (d *decider) patience() time.Duration {
	limit := d.spec.HealthRules().WriteTimeout.D()
	return max(limit, min(limit<<max(0, min(d.lease.Flaps, 6)), patienceMax))
}

// illness says what has kept a server from its work for longer than limit. Nothing of it is
// concluded from a write that is late alone: where anybody's flush has succeeded meanwhile the disk
// is slow, and an error that is no disk's (a full volume, a setting) ends no reign.
func (d *decider) illness(limit time.Duration) (code Code, text string) {
	p, test := d.v.Local.Probe, d.v.Local.Disk.Test
	still := time.Duration(0)
	if p.Since != 0 {
		still = d.sinceOf("flushed:", d.inst.WriteLSN.String(), true)
	}
	silent := d.since("unknown", d.inst.State == StateUnknown)
	switch late := p.Open(d.v.Now) > limit; {
	case test.Err != "" && test.Open(d.v.Now) > limit:
		return CondDiskFailed, "a small file cannot be written: " + test.Err
	case late && p.Err != "" && (strings.HasPrefix(p.Code, "58") || strings.HasPrefix(p.Code, "XX")):
		return CondDiskFailed, "PostgreSQL cannot use its files: " + p.Err
	case late && (silent > limit || silent > peerFresh && p.Open(d.v.Now) > limit+limit/2): // it hung before it fell silent
		return CondNotAnswering, "neither reads nor writes are answered"
	case late && p.Pending && d.inst.Primary && still > limit:
		return CondWriteHangs, "reads are answered, and no commit is"
	}
	return "", ""
}

// yieldIll ends the processes of a primary that cannot do its work, if somebody else can. What
// follows is the crash of any primary: nothing is left, so the lease is released.
func (d *decider) yieldIll() bool {
	limit := d.patience()
	code, text := d.illness(limit)
	if code == "" || d.inst.State != StateUnknown && !d.inst.Primary || d.v.Local.Warden.Empty {
		return false
	}
	who, ok := d.successor()
	switch {
	case !d.spec.HealthRules().Failover:
		d.say("health_failover_off", "%s for more than %s; health.failover is off: it stays primary", text, limit)
	case !ok || d.storeSilent(): // without the store nobody can
		d.say("no_successor", "%s for more than %s, and nobody can take over: it stays primary", text, limit)
	default:
		d.do(Step{Kind: StepFence, Why: because("ill", "%s: %s for more than %s, and %s can take over", code, text, limit, who)})
		return true
	}
	return false
}

// unkillable: the kernel does not end what was killed. The proof that a release needs may never
// come, so the lease is left to run out. (Nothing of a killed process is ever acknowledged.)
func (d *decider) unkillable() bool {
	w := d.v.Local.Warden
	if !w.Alive || !w.Fenced || w.Empty {
		return false
	}
	d.say("not_empty_yet", "PostgreSQL was killed, and processes of it are left: the lease is not renewed")
	d.wakeIn(20 * tickBusy) // its end wakes us
	if !d.trusted() {
		d.leadUntrusted() // should it have been another's kill that was seen
	}
	if d.since("unkillable", true) > time.Second {
		d.condition(CondUnkillable, "processes of PostgreSQL outlive SIGKILL; the lease of term %d runs out", d.lease.Term)
	}
	return true
}

// judgeDisk says whether this member may be chosen, and remembers how long it has led well.
func (d *decider) judgeDisk() {
	limit := d.spec.HealthRules().WriteTimeout.D()
	p, test := d.v.Local.Probe, d.v.Local.Disk.Test
	d.report.Unwell = test.Err != "" || test.Pending && test.Open(d.v.Now) > limit
	if d.report.Unwell {
		d.say("disk_unwell", "a small write beside data and WAL has not succeeded for %s: %s", test.Open(d.v.Now).Round(time.Second), orNone(test.Err))
	}
	d.mem.LedWell = d.since("well", d.holds() && d.inst.Primary && p.OKAt != 0 && p.Open(d.v.Now) < limit/2) > ledWell
}

// noRoom: after two ends in a row another start waits until there is space for what it must write.
func (d *decider) noRoom() bool {
	k := d.v.Local.Disk
	wait := d.mem.Failures[string(StepStart)].Count >= 2 && k.WAL.Size != 0 && k.WAL.Free < 2*k.Segment
	if wait {
		d.say("no_room", "PostgreSQL ended twice, and %d MB are free for WAL: it is started when two segments of %d MB fit", k.WAL.Free>>20, k.Segment>>20)
	}
	return wait
}
