package trust

import (
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

const ms = core.Instant(time.Millisecond)

// A server that is started may outlive its kill: it must leave the device the time that it needs.
func TestWatchdogLeavesTimeForWhatStarts(t *testing.T) {
	w := Watchdog{Timeout: 3 * time.Second}
	if !w.Starts(1 << 40) {
		t.Error("nothing is guarded, and a start is refused")
	}
	w.Follow(Permit{Term: 1, Armed: true, Margin: time.Second, Deadline: 4000 * ms}, true) // it has fired by 4500
	for at, want := range map[core.Instant]bool{0: true, 1500 * ms: true, 1501 * ms: false, 3999 * ms: false} {
		if w.Starts(at) != want {
			t.Errorf("at %s: %v", time.Duration(at), !want)
		}
	}
}

// However long the warden lives after its last feed, the device has fired half a margin before
// others may lead; and when it lives on and kills in time, it had as long for it.
func TestWatchdogFiresBetweenTheDeadlineAndTheNextLeader(t *testing.T) {
	for _, lease := range [][2]time.Duration{{5 * time.Second, time.Second}, {3 * time.Second, 500 * time.Millisecond}, {3 * time.Second, 2900 * time.Millisecond}, {10 * time.Second, 2 * time.Second}, {5 * time.Minute, 100 * time.Millisecond}} {
		ttl, margin := lease[0], lease[1]
		p := Permit{Term: 1, Armed: true, Margin: margin, Deadline: core.Instant(ttl - margin)} // sent at 0
		w := Watchdog{Timeout: spec.Lease{TTL: spec.Duration(ttl), Margin: spec.Duration(margin)}.WatchdogMax()}
		if w.Timeout < time.Second {
			t.Errorf("ttl %s, margin %s: %s is no timeout", ttl, margin, w.Timeout)
		}
		w.Follow(p, false)
		fed, fires := core.Instant(1), core.Instant(0)
		for fed != 0 {
			ok, next := w.Feed(fed, false)
			if !ok {
				break
			}
			if fires = fed.Add(w.Timeout); next <= fed && next != 0 {
				t.Fatal("the time to look again is past")
			}
			fed = next
		}
		if want := p.Deadline.Add(margin / 2); fires > want || fires < want.Add(-w.Timeout/32) {
			t.Errorf("ttl %s, margin %s: fires at %s, want %s", ttl, margin, time.Duration(fires), time.Duration(want))
		}
	}
}

func TestWatchdogIsNotFedOnATrustThatEnds(t *testing.T) {
	w := Watchdog{Timeout: 3 * time.Second}
	w.Follow(Permit{Deadline: 10_000 * ms, Margin: time.Second, Armed: true}, false)
	for _, c := range []struct {
		now   core.Instant
		empty bool
		feed  bool
		next  core.Instant
	}{
		{5000 * ms, false, true, 5375 * ms},
		{7200 * ms, false, true, 7500*ms - 3000*ms/32}, // just before the last moment, not an eighth later
		{7500 * ms, false, true, 7875 * ms},
		{7501 * ms, false, false, 0},
		{12_000 * ms, false, false, 0},
		{12_000 * ms, true, true, 12_375 * ms}, // nothing is left that could write
	} {
		if feed, next := w.Feed(c.now, c.empty); feed != c.feed || next != c.next {
			t.Errorf("%+v: %v, next %d", c, feed, next/ms)
		}
	}
}

func TestWatchdogCountsUntilNothingIsLeft(t *testing.T) {
	p := Permit{Deadline: 9000 * ms, Margin: time.Second, Term: 3, Armed: true}
	var w Watchdog
	if w.Follow(p, false); w.By != 9500*ms {
		t.Errorf("armed: %d", w.By/ms)
	}
	p.Withdraw()
	if w.Follow(p, false); w.By != 9500*ms {
		t.Errorf("fenced, and processes are left: %d", w.By/ms)
	}
	if w.Follow(p, true); w.By != 0 {
		t.Errorf("fenced and empty: %d", w.By/ms)
	}
	w.By = 9500 * ms
	if err := p.Disarm(3); err != nil {
		t.Fatal(err)
	}
	if w.Follow(p, false); w.By != 0 {
		t.Errorf("a standby: %d", w.By/ms)
	}
}
