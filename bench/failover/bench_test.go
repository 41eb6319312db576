package main

import (
	"testing"
	"time"
)

// TestStations follows one failover through the records of three members.
func TestStations(t *testing.T) {
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	rec := func(ms int, holder string, term uint64, released, empty bool, state string, primary bool) (r record) {
		r.At = at(ms)
		r.View.Store.Lease.Holder, r.View.Store.Lease.Term, r.View.Store.Lease.Released = holder, term, released
		r.View.Local.Warden.Empty, r.View.Local.Instance.State, r.View.Local.Instance.Primary = empty, state, primary
		return r
	}
	journals := map[string][]record{
		"n1": {rec(20, "n1", 1, false, false, "starting", true), rec(30, "n1", 1, false, true, "stopped", false), rec(90, "n2", 2, false, true, "stopped", false)},
		"n2": {rec(25, "n1", 1, false, false, "running", false), rec(50, "n1", 1, true, false, "running", false), rec(80, "n2", 2, false, false, "running", false), rec(150, "n2", 2, false, false, "running", true)},
		"n3": {rec(45, "n1", 1, true, false, "running", false)},
	}
	seen := map[int]int{}
	for name, list := range journals {
		for _, r := range list {
			stations(r, name, round{primary: "n1", term: 1}, func(i int, when time.Time) {
				if ms := int(when.Sub(began).Milliseconds()); seen[i] == 0 || ms < seen[i] {
					seen[i] = ms
				}
			})
		}
	}
	for i, want := range []int{20, 30, 45, 80, 150} {
		if seen[i] != want {
			t.Errorf("%s after %d ms, want %d", phaseNames[i], seen[i], want)
		}
	}
}
