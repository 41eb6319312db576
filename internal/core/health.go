package core

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

func (d *decider) condition(code Code, format string, args ...any) {
	d.report.Conditions = append(d.report.Conditions, NewCondition(code, d.begin("cond:"+string(code)), format, args...))
}

// conditions adds what every member can see of itself and, on the primary, of the
// cluster.
func (d *decider) conditions() {
	d.report.Rejected = d.rejected()
	if !d.v.Store.Known {
		return
	}
	d.conditionsOfStore()
	d.conditionsOfInstance()
	d.conditionsOfDisk()
	if d.inst.Primary {
		d.conditionsOfCluster()
	} else {
		d.mem.Unconfirmed = Unconfirmed{}
	}
}

func (d *decider) conditionsOfStore() {
	if d.v.Store.Err != "" && d.v.Now.Sub(d.v.Store.ReadAt) > 2*d.spec.Lease.Renew.D() {
		d.condition(CondNoQuorum, "the store has not answered for %s: %s", d.v.Now.Sub(d.v.Store.ReadAt).Round(time.Second), d.v.Store.Err)
	}
	if d.v.Store.Paused {
		d.condition(CondPaused, "the cluster is paused: no failover, nothing is started or stopped")
	}
	if d.mem.VacantSince != 0 && d.v.Now.Sub(d.mem.VacantSince) > d.spec.Lease.TTL.D() && d.v.Store.Cluster.SystemID != "" {
		d.condition(CondNoLeader, "nobody leads since %s", d.v.Now.Sub(d.mem.VacantSince).Round(time.Second))
	}
}

func (d *decider) conditionsOfInstance() {
	if d.me.Witness {
		return
	}
	if d.since("warden", !d.v.Local.Warden.Alive) > peerFresh { // a new agent starts without one
		d.condition(CondWardenGone, "the warden does not answer")
	} else if !d.v.Local.Warden.Alive && len(d.report.Reasons) == 0 {
		d.say("warden_gone", "the warden does not answer yet")
	}
	d.conditionOfWatchdog()
	if j := d.v.Local.Job; j.Err != "" && !j.Running && d.inst.State != StateRunning && (j.Kind == string(StepClone) || j.Kind == string(StepRewind) || j.Kind == string(StepInit)) {
		d.condition(cmp.Or(j.Code, CondCloneFailed), "%s: %s", j.Kind, j.Err)
	}
	if f := d.mem.Failures[string(StepStart)]; f.Count > 1 {
		text := d.v.Local.Warden.ExitText
		if d.v.Failed.Kind == StepStart {
			text = d.v.Failed.Text
		}
		d.condition(CondStartFailed, "PostgreSQL did not start, %d times now: %s", f.Count, text)
	}
	if f := d.v.Failed; f.Kind != "" && f.Kind != StepStart && d.sinceOf("failing:", string(f.Kind), true) > peerFresh {
		d.condition(CondStepFailed, "%s: %s", f.Kind, f.Text)
	}
	if d.rejected() {
		d.condition(CondRejected, "PostgreSQL did not start with the spec's parameters; it runs with its last good ones")
	}
	if len(d.inst.Pending) > 0 {
		d.condition(CondPending, "a restart is needed for %s", strings.Join(d.inst.Pending, ", "))
	}
	if d.since("unknown", d.inst.State == StateUnknown) > peerFresh {
		d.condition(CondNotAnswering, "PostgreSQL's processes exist but do not answer")
	}
}

func (d *decider) conditionsOfCluster() {
	if open := d.lossesOpen(); len(open) > 0 && d.holds() {
		d.condition(CondCommitsLost, "%s", open[len(open)-1].Text(d.v.Self))
	}
	for _, p := range d.v.Peers {
		if d.sinceOf("peer:", p.Name, !fresh(p)) > peerFresh {
			d.condition(CondMemberDown, "%s does not answer: %s", p.Name, orNone(p.Err))
		}
	}
	if d.synchronous() {
		d.conditionsOfSync()
	}
}

// conditionsOfSync: commits wait for longer than a slow moment, or are kept on fewer than asked.
func (d *decider) conditionsOfSync() {
	missing, longest := d.missing()
	if w := d.unconfirmed(); w > peerFresh {
		until := "until a standby that has been away for " + d.spec.Lease.TTL.D().String() + " is counted no more"
		if d.spec.Strict {
			until = "until enough are back (strict)"
		}
		d.condition(CondStalled, "commits have waited for %s for any %d of %s, %s%s", w.Round(time.Second), d.inst.SyncK, strings.Join(d.inst.SyncNames, ", "), until, missing)
	}
	want := min(d.spec.SyncStandbys, len(d.v.Store.Confirming(d.v.Self)))
	if few := d.since("degraded", d.lease.Sync.K < want); few > 0 && max(few, longest) >= d.spec.Lease.TTL.D() {
		d.condition(CondDegraded, "commits are kept on %s besides the primary; the spec asks for %d standbys%s", d.lease.Sync.text(), d.spec.SyncStandbys, missing)
	}
}

// missing names who could confirm commits and does not stream, and the longest since when.
func (d *decider) missing() (text string, longest time.Duration) {
	for _, name := range d.v.Store.Confirming(d.v.Self) {
		if at, ok := d.seen["sync:"+name]; ok { // see wantedSync
			gone := d.v.Now.Sub(at)
			longest = max(longest, gone)
			text += "; " + name + " has not streamed for " + gone.Round(time.Second).String()
		}
	}
	return text, longest
}

// unconfirmed is how long WAL has waited by now for enough of the set. A link that is cut
// looks like a stream until a timeout ends it; that nobody confirms is seen at once.
func (d *decider) unconfirmed() time.Duration {
	set := SyncSet{Members: d.inst.SyncNames, K: d.inst.SyncK}
	if set.K == 0 || d.inst.confirmed(set) >= d.mem.Unconfirmed.LSN {
		d.mem.Unconfirmed = Unconfirmed{LSN: d.inst.WriteLSN, Since: d.v.Now}
	}
	return d.v.Now.Sub(d.mem.Unconfirmed.Since)
}

// When a person is told of an illness, and of commits that are slow.
const (
	illTold    = 5 * time.Second
	slowCommit = 500 * time.Millisecond
	slowFor    = 5 * time.Second

	archiveTold = time.Minute // an archive is away for a moment now and then
)

func (d *decider) conditionsOfDisk() {
	k, p := d.v.Local.Disk, d.v.Local.Probe
	switch code, text := d.illness(illTold); {
	case code == CondDiskFailed || code == CondWriteHangs:
		d.condition(code, "%s", text)
	case d.report.Unwell:
		d.condition(CondDiskFailed, "a small write beside data and WAL does not succeed: %s", orNone(k.Test.Err))
	case p.Err != "" && p.Open(d.v.Now) > illTold && d.inst.Primary:
		d.condition(CondWriteFails, "%s", p.Err)
	}
	for _, v := range []struct {
		name      string
		room      Room
		low, full Code
	}{{"data", k.Data, CondDataLow, CondDataFull}, {"WAL", k.WAL, CondWALLow, CondWALFull}} {
		if v.room.Size != 0 && v.room.Free < k.Segment {
			v.low = v.full
		}
		if k.scarce(v.room) {
			d.condition(v.low, "%d MB of %d MB are free on the %s volume", v.room.Free>>20, v.room.Size>>20, v.name)
		}
	}
	if s := k.State; s.Size != 0 && s.Free < max(stateLow, min(s.Size/20, stateLowMax)) {
		code := CondStateLow
		if s.Free < stateFull {
			code = CondStateFull
		}
		d.condition(code, "%d MB of %d MB are free on the volume of state_dir", s.Free>>20, s.Size>>20)
	}
	d.conditionsOfLoad(p, d.inst)
}

// The store of a member takes 64 MB at a time for its log, and ends for good when it cannot write.
const (
	stateFull   = 64 << 20
	stateLow    = 2 * stateFull
	stateLowMax = 1 << 30
)

// promotionMax: a promotion is over within a second where nothing is wrong, and to give one up costs another.
const promotionMax = 30 * time.Second

// promotionStill is for how long a standby that is to be primary has replayed nothing, and is none yet. A flush that hangs does
// that, and reads are answered meanwhile.
func (d *decider) promotionStill() time.Duration {
	still := d.sinceOf("promotes ", fmt.Sprintf("%d %s", d.lease.Term, d.inst.ReplayLSN), true)
	if still >= d.spec.HealthRules().WriteTimeout.D() {
		d.condition(CondPromotionHangs, "the promotion of term %d has replayed nothing for %s, and is not done", d.lease.Term, still.Round(time.Second))
	}
	return still
}

func (d *decider) conditionsOfLoad(p Probe, i *Instance) {
	_, told := d.mem.SeenBad["cond:"+string(CondSlow)]
	slow := p.Took > slowCommit || told && p.Took > slowCommit/2 // it ends at half of where it began
	if d.since("slow", slow) > slowFor {
		d.condition(CondSlow, "a commit of one row takes %s", p.Took.Round(10*time.Millisecond))
	}
	if d.since("crowded", i.SessionsMax > 0 && i.Sessions >= i.SessionsMax) > peerFresh {
		d.condition(CondConnections, "all %d connections for applications are taken", i.SessionsMax)
	}
	if len(i.Unguarded) > 0 && i.Primary && d.synchronous() {
		d.condition(CondUnguarded, "synchronous_commit of %s", strings.Join(i.Unguarded, ", "))
	}
	if d.since("archive", i.Unarchived != "") > archiveTold {
		d.condition(CondArchive, "archiving fails with %s: WAL is kept until it succeeds, %d MB of %d MB are free for it", i.Unarchived, d.v.Local.Disk.WAL.Free>>20, d.v.Local.Disk.WAL.Size>>20)
	}
	if i.Corrupt > 0 {
		d.condition(CondChecksum, "%d pages were read with a wrong checksum", i.Corrupt)
	}
}

func (d *decider) conditionOfWatchdog() {
	d.cannotWatch() // remembers since when, in every tick
	switch w := d.v.Local.Warden.Watchdog; {
	case d.report.Unwatched && d.v.Local.Warden.Alive:
		r, _ := find(d.report.Reasons, func(r Reason) bool { return r.Code == CondUnwatched })
		d.condition(CondUnwatched, "%s", r.Text)
	case w.State == WatchdogUnavailable: // one that does not exist is nothing to tell of
		d.condition(CondWatchdog, "the watchdog is not used: %s", w.Text)
	}
}

func (d *decider) whyConfigured() Reason {
	if d.v.Local.Held && d.mem.HoldLSN != 0 {
		return because("hold", "clients were held after a start in place; confirmed so far is %s, everything is %s", d.inst.confirmed(d.lease.Sync), d.mem.HoldLSN)
	}
	return because("spec", "the configuration differs from the spec or the sync set")
}
