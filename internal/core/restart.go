package core

import (
	"maps"
	"time"
)

// start brings PostgreSQL up with c, with a growing pause after failures. As primary it is
// guarded by the lease; as standby it is not, since a standby accepts no writes.
func (d *decider) start(standby bool, c Conf, why Reason) {
	if d.v.Stopping {
		d.say("leaving", "the agent was told to stop: nothing is started")
		return
	}
	if !d.v.Local.Warden.Alive {
		d.say("warden_gone", "the warden does not answer: nothing can be started")
		return
	}
	if d.noRoom() || d.wait(StepStart) {
		return
	}
	d.configure(c, why)
	if standby {
		d.do(Step{Kind: StepStart, Standby: true, Why: why})
	} else {
		d.guarded(Step{Kind: StepStart, Why: why})
	}
	d.wakeIn(4 * tickBusy)
}

// job starts long work unless it runs already or has just failed.
func (d *decider) job(s Step) {
	if d.v.Local.Job.Running {
		d.say("job_running", "%s: %s", d.v.Local.Job.Kind, d.v.Local.Job.Text)
		return
	}
	if d.wait(s.Kind) {
		return
	}
	d.do(s)
}

// wait says (with the reason) that the last attempts failed and it is too early for
// the next one: 2, 4, 8 ... 60 seconds after the first, second, third ... failure.
func (d *decider) wait(kind StepKind) bool {
	f := d.mem.Failures[string(kind)]
	if f.Count <= 0 {
		return false
	}
	pause := min(time.Second<<min(f.Count, 6), backoffMax)
	if kind == StepStart && f.Count == 1 {
		pause = 0 // a first failure is tried again at once: an outage may hang on it
	}
	next := f.At.Add(pause)
	if d.v.Now >= next {
		return false
	}
	d.say("backoff", "%s failed %d times; next attempt in %s", kind, f.Count, next.Sub(d.v.Now).Round(time.Second))
	d.wakeAt(next)
	return true
}

// countFailures learns from how the last job and the last postmaster ended.
func (d *decider) countFailures() {
	if j := d.v.Local.Job; j.Kind != "" && !j.Running && j.EndedAt != 0 {
		d.count(j.Kind, j.EndedAt, j.Err != "")
	}
	w := d.v.Local.Warden
	if d.inst.State == StateRunning {
		delete(d.mem.Failures, string(StepStart))
		delete(d.mem.Failures, givenUp)
	} else {
		if w.ExitedAt != 0 && w.Empty {
			d.count(string(StepStart), w.ExitedAt, w.ExitText != "" && !w.Fenced)
		}
		if d.v.Failed.Kind == StepStart { // refused before there was a process
			d.count(string(StepStart), d.v.Failed.At, true)
		}
	}
	f := d.mem.Failures[string(StepStart)]
	if f.Count >= 2 && len(d.v.Local.Good) > 0 && !maps.Equal(d.spec.Postgres.Parameters, d.v.Local.Good) && d.mem.RejectedRevision == 0 {
		d.mem.RejectedRevision = d.v.Store.SpecRevision
		delete(d.mem.Failures, string(StepStart))
	}
	if d.mem.RejectedRevision != 0 && d.mem.RejectedRevision != d.v.Store.SpecRevision {
		d.mem.RejectedRevision = 0 // a new spec gets a new chance
	}
}

func (d *decider) count(kind string, at Instant, failed bool) {
	f := d.mem.Failures[kind]
	if at <= f.Job { // counted already, or from before what was counted
		return
	}
	if !failed {
		delete(d.mem.Failures, kind)
		return
	}
	d.mem.failed(kind, Failure{Count: f.Count + 1, At: d.v.Now, Job: at})
}
