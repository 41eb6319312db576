package core

import (
	"cmp"
	"slices"
	"time"
)

// After PostgreSQL has ended under a holder: in place or by another, for how long, and when
// clients may see what came up.

// givenUp names the failure of a start that took too long. It is forgotten with those of starts.
const givenUp = "given_up"

// betterInPlace: async. A start in place loses nothing, a hand-over what the successor has
// not received. So it is tried when it should be quick, unless there is nothing to lose or a
// start has failed already. (With durability sync a hand-over loses nothing and is quicker.)
func (d *decider) betterInPlace(who string) bool {
	p, _ := d.peer(who)
	complete := d.inst.LastRecord != 0 && p.Instance.Timeline == d.inst.Timeline && p.Instance.Position().LSN > d.inst.LastRecord
	failed := d.mem.Failures[string(StepStart)].Count > 1 || d.mem.Failures[givenUp].Count > 0 // its end itself counts as one
	return !d.synchronous() && !complete && !failed && d.inst.recoveryTime() <= d.recoveryMax()
}

func (d *decider) recoveryMax() time.Duration {
	return cmp.Or(d.spec.CrashRecoveryMax.D(), 30*time.Second)
}

// awaitStart: PostgreSQL comes up under our lease, or ends for a reason that is over (an agent that was told to stop and is
// back). When it takes longer than the bound and somebody else could lead, it is given up: killed, and the lease
// released on the proof of that.
func (d *decider) awaitStart() {
	waited := d.sinceOf("awaits ", string(d.inst.State), d.inst.State == StateStarting || d.inst.State == StateStopping)
	d.say("waiting_for_postgres", "PostgreSQL is %s%s", d.inst.State, d.inst.recoveryText(waited))
	if who, ok := d.successor(); ok && waited > d.recoveryMax() {
		d.mem.failed(givenUp, Failure{Count: 1, At: d.v.Now})
		d.do(Step{Kind: StepFence, Why: because("start_given_up", "PostgreSQL has been %s for %s, and %s can lead%s", d.inst.State, waited.Round(time.Second), who, d.inst.recoveryText(waited))})
	}
}

// primaryConf is the configuration of a primary that was started in place. A start makes
// all visible that is in its WAL, also commits that still waited for a standby when the last
// one ended. Whoever read them would see them vanish when the primary then fails and one of the set
// leads that has not got them. So clients are held until enough of the set has everything.
// (Not after a promotion: of those who are named in the new lease, as many as must confirm have all that the candidate has.)
func (d *decider) primaryConf(sync SyncSet) Conf {
	was, _ := d.member(d.inst.Follows) // of no account to a primary: left as it is, so that after a handover there is nothing to write
	c := d.conf(was.Name, sync)
	c.Hold = d.hold()
	return c
}

func (d *decider) hold() bool {
	set := d.lease.Sync
	if !d.synchronous() || len(set.Members) == 0 { // nobody else may lead: it cannot be lost
		return false
	}
	if !d.inst.Primary {
		d.mem.HoldLSN = 0
		return d.v.Local.Held || !d.cleanlyStopped() || d.having(set, d.receivedShutdown) < set.K
	}
	if !d.v.Local.Held {
		return false
	}
	if d.mem.HoldLSN == 0 {
		d.mem.HoldLSN = d.inst.WriteLSN // recovery's end, or after it
	}
	if d.inst.confirmed(set) >= d.mem.HoldLSN {
		return false
	}
	text, _ := d.missing()
	d.condition(CondHeld, "clients are held until %s is confirmed by %s%s", d.mem.HoldLSN, set.text(), text)
	d.wakeIn(4 * tickBusy)
	return true
}

// having counts the members of the set that answer now and of whom has is so.
func (d *decider) having(set SyncSet, has func(Peer) bool) (n int) {
	for _, p := range d.v.Peers {
		if slices.Contains(set.Members, p.Name) && fresh(p) && has(p) {
			n++
		}
	}
	return n
}
