package warden

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	sweepPauseMin = time.Millisecond
	sweepPauseMax = 50 * time.Millisecond // processes in an uninterruptible wait die when they can
)

// start begins a postmaster; done hears how it went. Forking may hang, so it happens on the
// spawner's thread and the loop goes on watching the deadline.
func (w *warden) start(c *Command, done func(error)) {
	if err := w.mayStart(c); err != nil {
		done(err)
		return
	}
	w.cgroup, _ = openCgroup(w.dataDir)
	w.starting, w.startDone = true, done
	w.st.Empty, w.st.StartedAt = false, BootNow()
	w.st.Fenced, w.st.Cgroup = nil, w.cgroup != nil
	w.spawner.commands <- spawn{*c, w.cgroup, func(pid int, err error) {
		w.calls <- func() { w.started(pid, err) }
	}}
}

func (w *warden) mayStart(c *Command) error {
	switch {
	case w.stopping:
		return ErrStopping
	case !w.st.Empty:
		return ErrNotEmpty
	case !w.st.Armed:
		return ErrNotArmed
	case !w.watched():
		return ErrNotWatched
	case !w.inTime():
		return ErrTooLate
	case c == nil || len(c.Path) == 0 || c.Path[0] != '/':
		return fmt.Errorf("the command needs an absolute path: %w", ErrRefused)
	}
	return nil
}

func (w *warden) started(pid int, err error) {
	done := w.startDone
	w.starting, w.startDone = false, nil
	if err != nil {
		err = fmt.Errorf("starting postgres: %w", err)
		w.log.Error("postgres did not start", "error", err)
	} else {
		w.st.PostmasterPID = pid
		lowerOOMScore(pid, "-900")
		w.log.Info("postgres started", "pid", pid, "term", w.st.Term)
	}
	if w.sweeping {
		w.sweep() // a fence came while it was being forked
	}
	w.reap()
	if w.stopping {
		w.stop() // a SIGTERM came while it was being forked
	}
	w.publish()
	done(err)
}

// reap collects the dead. Without children the instance is empty: as subreaper the
// warden inherits every orphan, so no descendant can exist without it having a child.
// While a fork is under way the answer would be premature, and the dead can wait.
func (w *warden) reap() {
	for !w.starting {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.ECHILD):
			w.emptied()
			return
		case err != nil || pid == 0:
			return
		case pid == w.st.PostmasterPID:
			w.postmasterEnded(pid, status)
		}
	}
}

func (w *warden) postmasterEnded(pid int, status syscall.WaitStatus) {
	e := &Exit{PID: pid, Code: status.ExitStatus(), At: BootNow()}
	if status.Signaled() {
		e.Signal = status.Signal().String()
	}
	w.st.PostmasterPID, w.st.LastExit = 0, e
	w.log.Info("postgres ended", "pid", pid, "code", e.Code, "signal", e.Signal)
	w.sweeping = true
	w.sweepPause = sweepPauseMin
	w.killAll()
	w.removeVIP()
	w.retry.Reset(w.sweepPause)
}

// sweep kills what is left, and comes back until nothing is.
func (w *warden) sweep() {
	w.killAll()
	w.reap()
	if w.sweeping {
		w.retry.Reset(w.sweepPause)
		w.sweepPause = min(2*w.sweepPause, sweepPauseMax)
	}
}

// killAll sends SIGKILL to every process of the instance that it can find, to the postmaster last: until then it is
// stopped, so that nobody can connect, and no backend hears of its end. One that hears of it while its commit waits for a
// standby gives up waiting before it ends, and for that moment everybody reads what was acknowledged to nobody and will be
// lost. (A PID that we have not reaped yet cannot be another process.)
func (w *warden) killAll() {
	if pid := w.st.PostmasterPID; pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	}
	if err := w.cgroup.kill(); err != nil {
		w.log.Warn("cgroup.kill failed", "error", err)
	}
	found, err := descendants(os.Getpid())
	if err != nil {
		w.log.Warn("reading /proc failed", "error", err)
	}
	for _, p := range found {
		if p.pid == w.st.PostmasterPID {
			continue
		}
		if err := p.kill(); err != nil && w.sweepPause == sweepPauseMin { // once, not at every sweep
			w.log.Warn("cannot kill", "pid", p.pid, "error", err)
		}
	}
}

func (w *warden) emptied() {
	w.sweeping = false
	if w.st.Empty {
		return
	}
	now := BootNow()
	w.st.Empty, w.st.EmptyAt = true, now
	if e := w.st.LastExit; e != nil && e.At >= w.st.StartedAt {
		w.st.LastExit = &Exit{e.PID, e.Code, e.Signal, e.At, now.Sub(e.At)}
	}
	if f := w.st.Fenced; f != nil {
		w.st.Fenced = &Fenced{f.At, f.Reason, f.Term, now.Sub(f.At)}
	}
	w.log.Info("the instance is empty")
	w.publish()
	for _, done := range w.emptyDone {
		done(nil)
	}
	w.emptyDone = nil
}

// fence kills the instance now and takes back the permission to start. done, which may be
// nil, hears when the instance is empty.
func (w *warden) fence(reason string, done func(error)) {
	w.log.Warn("fencing", "reason", reason, "term", w.st.Term, "deadline", w.st.Deadline)
	w.st.Fenced = &Fenced{At: BootNow(), Reason: reason, Term: w.st.Term}
	w.st.Withdraw()
	w.setTimer()
	if w.st.Empty {
		w.removeVIP()
		if done != nil {
			done(nil)
		}
		return
	}
	if done != nil {
		w.emptyDone = append(w.emptyDone, done)
	}
	w.sweeping, w.sweepPause = true, sweepPauseMin
	w.sweep()
	w.removeVIP()
}

// checkDeadline runs at every turn of the loop, whatever woke it.
func (w *warden) checkDeadline() {
	if !w.st.Expired(BootNow()) {
		return
	}
	if w.st.Empty { // nothing to kill, but the permission to start has run out
		w.st.Withdraw()
		w.setTimer()
		return
	}
	w.fence("the deadline passed without a trusted renewal of the lease", nil)
}

func (w *warden) arm(r request) error {
	defer w.setTimer()
	if err := w.st.Arm(r.Deadline, r.Term, BootNow()); err != nil {
		return err
	}
	if r.TTL > 0 { // who extends trust by other means than a renewal says nothing of the lease
		w.st.Margin, w.dog.ttl = r.Margin, r.TTL
	}
	return nil
}

func (w *warden) disarm(term uint64) error {
	defer w.setTimer()
	return w.st.Disarm(term)
}

// setTimer wakes the loop at the permit's deadline.
func (w *warden) setTimer() {
	if err := w.deadline.set(w.st.Deadline); err != nil {
		w.log.Error("the deadline's timer failed", "error", err) // unreachable; the loop's own ticks still look
	}
}

func (w *warden) signal(sig syscall.Signal) error {
	if w.st.PostmasterPID == 0 {
		return ErrNotRunning
	}
	return syscall.Kill(w.st.PostmasterPID, sig)
}
