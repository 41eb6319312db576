package route

import (
	"fmt"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/wal"
)

const (
	// readersStay is for how long after writers have drained readers stay where they are: see moves.
	readersStay = time.Second
	// readersRest is for how long after writers were let go they do: what they held up is through then, and the record that says so is
	// not written yet (endpoint's calmAfter), so that one tells of both.
	readersRest = 100 * time.Millisecond
	// writtenEvery is how far apart remembered positions of the primary are, writtenMax how many there are: together
	// they reach back further than the oldest look at a standby that still counts.
	writtenEvery = 500 * time.Millisecond
	writtenMax   = 6
)

// noteWritten remembers how far the primary has written. A standby is judged by what had been written when it was
// looked at, or one that keeps up would seem to lag by all that was written since.
func (d *decider) noteWritten(holder string) {
	note := func(at core.Instant, lsn wal.LSN) {
		if n := len(d.m.Written); lsn == 0 || n > 0 && at < d.m.Written[n-1].At.Add(writtenEvery) {
			return
		}
		d.m.Written = append(d.m.Written, Position{at, lsn})
		d.m.Written = d.m.Written[max(0, len(d.m.Written)-writtenMax):]
	}
	if s := d.v.sight(holder); s.State == Writes && s.At >= d.m.TermAt {
		note(s.At, s.LSN)
		return
	}
	note(d.v.ReadAt, d.v.Lease.LSN)
}

// lag is by how much a standby was behind when it was looked at; 0 where that is not known.
func (d *decider) lag(s Sight) int64 {
	newest := wal.LSN(0)
	for _, p := range d.m.Written {
		if p.At <= s.At {
			newest = max(newest, p.LSN)
		}
	}
	if newest == 0 {
		return 0
	}
	return max(0, newest.Sub(s.LSN))
}

// moves says that the primary moves, with writers held for it. Whom readers are sent to can wait until that is over, unless one of
// them is known to be out of order: the next primary serves them as well, and its clients are waiting for what another RELOAD takes.
func (d *decider) moves() bool {
	h, op := d.m.Hold, d.v.Operation
	until := h.DrainedAt.Add(readersStay)
	if h.LetGoAt != 0 {
		until = min(until, h.LetGoAt.Add(readersRest))
	}
	wrong := func(name string) bool {
		s := d.v.sight(name)
		next := name == d.v.holder() || op != nil && name == op.To // it may be seen to write before the lease was read
		return s.State == Down || s.Silent || !d.v.isMember(name) || s.State == Writes && !next
	}
	held := len(d.m.Readers) == 0 || d.v.RO.HeldAt != 0
	if h.DrainedAt == 0 || h.Ended != "" || d.v.Now >= until || held || slices.ContainsFunc(d.m.Readers, wrong) {
		return false
	}
	d.wakeAt(until)
	return true
}

// readOnly sends to the standbys that have nearly everything.
func (d *decider) readOnly() {
	if d.moves() {
		d.plan.RO = Endpoint{Keep: true, Targets: d.m.Readers, Why: because("moving", "readers stay with %s while the primary moves", list(d.m.Readers))}
		return
	}
	var readers, lagging []string
	away, drop := map[string]string{}, false
	for _, name := range d.v.data() {
		why, late := d.refusal(name)
		if late {
			lagging = append(lagging, name)
		}
		if why == "" {
			readers = append(readers, name)
			continue
		}
		away[name] = why
		if s := d.v.sight(name); (s.State == Down || s.Silent) && slices.Contains(d.m.Readers, name) {
			drop = true // its clients would wait for a server that says nothing
		}
	}
	slices.Sort(readers)
	d.m.Lagging = lagging
	if len(readers) == 0 {
		d.holdReadOnly(away)
		return
	}
	d.m.Readers = readers
	d.plan.RO = Endpoint{Targets: readers, Drop: drop, Why: because("readers", "readers go to %s%s", list(readers), others(away))}
}

// refusal says why a member gets no readers, empty when it gets them; late: because of its lag.
func (d *decider) refusal(name string) (why string, late bool) {
	s := d.v.sight(name)
	was := slices.Contains(d.m.Readers, name)
	switch {
	case slices.Contains(d.v.Drained, name):
		return "is drained", false
	case s.Silent:
		return "does not answer (" + s.Err + ")", false
	case s.State == Unseen && was && name != d.v.holder():
		return "", false // of the process before; it is judged when it was looked at
	case s.State == Unseen:
		return "was not looked at yet", false
	case s.State == Down:
		return "lets nobody in (" + s.Err + ")", false
	case s.State == Writes && name != d.v.holder():
		return "accepts writes without the lease", false
	case s.State == Writes && !d.v.Rules.ReadFromPrimary:
		return "is the primary", false
	case s.State == Writes:
		return "", false
	}
	lag, most := d.lag(s), d.v.Rules.ReadLagMaxBytes
	if slices.Contains(d.m.Lagging, name) {
		most /= 2
	}
	if lag > most {
		return fmt.Sprintf("lags by %d bytes, more than %d", lag, most), true
	}
	return "", false
}

// holdReadOnly: readers wait rather than read what is older than they were promised.
func (d *decider) holdReadOnly(away map[string]string) {
	stay := slices.DeleteFunc(slices.Clone(d.m.Readers), func(name string) bool { return !d.v.isMember(name) })
	why := because("no_readers", "no member may get readers: they wait%s", others(away))
	if len(d.v.data()) == 1 {
		why.Text = "the cluster has no standby, and pooler.read_from_primary is false: readers wait"
	}
	d.plan.RO = Endpoint{Hold: true, Targets: stay, Why: why}
	if d.lasting("readers") < unreadTold {
		d.wakeAt(d.v.Now.Add(unreadTold))
		return
	}
	if len(d.v.data()) > 1 {
		d.condition(core.CondPoolerNoReaders, "%s", why.Text)
	}
}

func others(away map[string]string) (text string) {
	for _, name := range sortedKeys(away) {
		text += "; " + name + " " + away[name]
	}
	return text
}
