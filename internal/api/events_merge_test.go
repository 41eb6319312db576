package api

import (
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/journal"
)

// TestMergeKeepsWhatHappenedTwice: what all members saw is one event, what one member
// saw twice is two.
func TestMergeKeepsWhatHappenedTwice(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(second int, member string) journal.Event {
		return journal.Event{At: start.Add(time.Duration(second) * time.Second), Member: member, Code: "sync_set_changed", Text: "the same", Shared: true}
	}
	got := merge([]journal.Event{at(0, "n1"), at(1, "n2"), at(5, "n1"), at(5, "n2"), at(6, "n3")}, 100)
	if len(got) != 2 || !got[0].At.Equal(start) || !got[1].At.Equal(start.Add(5*time.Second)) {
		t.Errorf("%v", got)
	}
}
