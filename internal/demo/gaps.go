package demo

import (
	"slices"
	"sync"
	"time"
)

// timeline is when writes were acknowledged and when they failed, over all writers.
type timeline struct {
	mu     sync.Mutex
	acked  []time.Time // in order
	failed []Failure
}

// Failure is one statement or connection attempt that a client saw fail.
type Failure struct {
	At        time.Time
	Statement bool // false: only the connection attempt failed
	Text      string
}

func (t *timeline) ack(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acked = append(t.acked, at) // clients race by microseconds; longestGap sorts
}

func (t *timeline) fail(f Failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = append(t.failed, f)
}

// Gap is a time without any acknowledged write.
type Gap struct{ From, To time.Time }

// Length is how long nothing was acknowledged.
func (g Gap) Length() time.Duration { return g.To.Sub(g.From) }

// longestGap gives the longest time without an acknowledged write that overlaps [from, to]. It may begin
// before from and end after to: both ends are acknowledged writes, unless none
// came before or after (then the window's edge counts).
func (t *timeline) longestGap(from, to time.Time) Gap {
	t.mu.Lock()
	acked := slices.Clone(t.acked)
	t.mu.Unlock()
	slices.SortFunc(acked, time.Time.Compare)
	first, _ := slices.BinarySearchFunc(acked, from, time.Time.Compare)
	last := from
	if first > 0 {
		last = acked[first-1]
	}
	var longest Gap
	for _, at := range append(acked[first:], to) {
		g := Gap{last, at}
		if g.Length() > longest.Length() {
			longest = g
		}
		if last = at; !at.Before(to) {
			break
		}
	}
	return longest
}

// failures lists what failed in [from, to].
func (t *timeline) failures(from, to time.Time) (list []Failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.failed {
		if !f.At.Before(from) && !f.At.After(to) {
			list = append(list, f)
		}
	}
	return list
}

// ackedSince counts the acknowledged writes after an instant.
func (t *timeline) ackedSince(at time.Time) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.acked) - 1; i >= 0 && t.acked[i].After(at); i-- {
		n++
	}
	return n
}
