package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/spec"
)

// TestClockThatWasSetDropsNoEvidence: a wall clock that is a year ahead for a while makes everything old, and nothing is dropped
// before that has lasted by the clock that nobody sets.
func TestClockThatWasSetDropsNoEvidence(t *testing.T) {
	saved := time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)
	list := []forks.Summary{{ID: "A", SavedAt: saved.Add(-time.Hour)}, {ID: "B", SavedAt: saved}}
	keep := spec.Forks{Keep: spec.Duration(30 * 24 * time.Hour), MaxBytes: 150}
	size := func(string) int64 { return 70 }
	today, ahead := saved.Add(time.Minute), saved.AddDate(1, 0, 0)
	a, boot := ages{}, core.Instant(time.Minute)
	look := func(what string, wall time.Time, later time.Duration, want ...string) {
		t.Helper()
		boot = boot.Add(later)
		if got := a.overdue(list, size, keep, wall, boot); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	look("young", today, 0)
	look("a clock set ahead", ahead, time.Minute)
	look("for a while", ahead, 59*time.Minute)
	look("and back", today, 2*time.Minute)
	look("ahead again", ahead, time.Minute)
	look("for less than an hour", ahead, 59*time.Minute)
	look("it has lasted", ahead, time.Minute, "A", "B")
	keep.MaxBytes = 100
	a = ages{}
	look("size needs no patience", today, 0, "A")
	look("whatever the clock says", ahead, 0, "A")
	a = ages{}
	keep = spec.Forks{Keep: spec.Duration(time.Second), MaxBytes: 1000}
	look("a short life", ahead, time.Minute)
	look("asked for", ahead, time.Second, "A", "B")
}

// TestNewestForkByAClockThatWasSetBack: its name sorts before those of older ones, and it is the news all the same.
func TestNewestForkByAClockThatWasSetBack(t *testing.T) {
	list := func(ids ...string) (l []forks.Summary) {
		for _, id := range ids {
			l = append(l, forks.Summary{ID: id})
		}
		return l
	}
	k := keptOf(list("2026"), core.Kept{}, []string{"2026"})
	for _, step := range []struct {
		is   []string
		want string
	}{
		{[]string{"2025", "2026"}, "2025"}, {[]string{"2025", "2026"}, "2025"}, {[]string{"2025", "2026", "2027"}, "2027"}, {[]string{"2025", "2026"}, "2026"}, {nil, ""},
	} {
		seen := step.is
		if k.Newest != step.want { // it came with this look
			seen = slices.DeleteFunc(slices.Clone(step.is), func(id string) bool { return id == step.want })
		}
		if k = keptOf(list(step.is...), k, append([]string{}, seen...)); k.Newest != step.want || k.Count != len(step.is) {
			t.Errorf("%v: %+v, want %s", step.is, k, step.want)
		}
	}
}
