package postgres

import (
	"os"
	"testing"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

// TestNoTwoTimelinesOfOneNumber: n2 is promoted and dies, n3 knows nothing of that and is
// promoted too. Without a reservation both would call their timeline 2, and what had followed
// the one would silently take WAL of the other.
func TestNoTwoTimelinesOfOneNumber(t *testing.T) {
	ctx, ca := testContext(t), newCA(t)
	n1 := newPrimary(t, ca, "n1", true)
	n2, n3 := newNode(t, ca, "n2", true), newNode(t, ca, "n3", false)
	n2.source, n3.source = n1, n1
	for _, n := range []*node{n2, n3} {
		check(t, n1.db.CreateSlot(ctx, spec.SlotName(n.name)))
		clone(t, n1, n)
		n.await(t, "to stream", func(f Facts) bool { return f.Receiver != nil && f.Receiver.Status == "streaming" })
	}
	n1.crash(t)
	promoteTo(t, n2, 2)
	n2.exec(t, "CREATE TABLE public.only_on_n2 ()")
	n2.crash(t)
	promoteTo(t, n3, 3)
	if h := must(History(n3.in.DataDir, 3))(t); len(h) != 1 || h[0].Timeline != 1 {
		t.Errorf("timeline 3 of n3 comes from %v, want from timeline 1 alone", h)
	}
	check(t, n3.db.CreateSlot(ctx, spec.SlotName("n2")))
	rewindTo(t, n2, n3)
	// What it has now goes from 1 to 3 past a number that is taken: also after a restart.
	n2.stop(t)
	check(t, DropReserved(n2.in))
	n2.start(t)
	awaitTimeline(t, n2, 3)
	if got := n2.text(t, "SELECT count(*)::text FROM pg_class WHERE relname = 'only_on_n2'"); got != "0" {
		t.Error("n2 still has what existed only on its own timeline")
	}
}

func promoteTo(t *testing.T, n *node, want wal.Timeline) {
	t.Helper()
	n.source = nil
	n.configure(t)
	check(t, n.db.Reload(testContext(t)))
	n.await(t, "to stream from nobody", func(f Facts) bool { return f.Receiver == nil && f.ReplayAtEnd })
	check(t, ReserveTimelines(n.in, want))
	check(t, n.db.Promote(testContext(t)))
	if f := n.await(t, "to be primary", func(f Facts) bool { return !f.InRecovery }); f.Timeline != want {
		t.Fatalf("%s is on timeline %d, want %d", n.name, f.Timeline, want)
	}
}

func rewindTo(t *testing.T, n, source *node) {
	t.Helper()
	id := must(ReadControl(n.in.DataDir))(t).SystemID
	o := RewindOptions{Source: source.asSource(n.name), Instance: n.in, Mark: Mark{"cluster", n.name, id}}
	awaitCheckpointed(t, source, o)
	if r := must(Rewind(testContext(t), o, nil))(t); !r.Needed {
		t.Errorf("no rewind was needed: %s", r.Output)
	}
	n.source = source
	n.configure(t)
	check(t, DropReserved(n.in))
	n.start(t)
	awaitTimeline(t, n, 3)
}

func awaitTimeline(t *testing.T, n *node, tl wal.Timeline) {
	t.Helper()
	n.await(t, "to stream on the new timeline", func(f Facts) bool {
		return f.Timeline == tl && f.Receiver != nil && f.Receiver.Status == "streaming" && f.ReplayAtEnd
	})
}

// TestReservationThatCameToNothing: the promotion never happened; the standby must come up
// as before.
func TestReservationThatCameToNothing(t *testing.T) {
	ctx, ca := testContext(t), newCA(t)
	n1 := newPrimary(t, ca, "n1", true)
	n2 := newNode(t, ca, "n2", true)
	n2.source = n1
	check(t, n1.db.CreateSlot(ctx, spec.SlotName("n2")))
	clone(t, n1, n2)
	check(t, ReserveTimelines(n2.in, 5))
	for tl := wal.Timeline(2); tl < 5; tl++ {
		if _, err := os.Stat(historyFile(n2.in, tl)); err != nil {
			t.Error(err)
		}
	}
	n2.stop(t)
	check(t, DropReserved(n2.in))
	n2.start(t)
	awaitTimeline(t, n2, 1)
	if err := ReserveTimelines(n2.in, 1); err == nil {
		t.Error("timeline 1 was reserved under timeline 1")
	}
	checkHalfThrough(t, n2)
}

// checkHalfThrough: a promotion that was cut short has written its history and nothing else.
func checkHalfThrough(t *testing.T, n *node) {
	t.Helper()
	if newest := must(NewestHistory(n.in))(t); newest != 1 {
		t.Errorf("newest history %d before there is one", newest)
	}
	check(t, os.WriteFile(historyFile(n.in, 2), []byte("1\t0/3000000\tno recovery target specified\n"), 0o600))
	if err := ReserveTimelines(n.in, 2); err == nil {
		t.Error("a number that is taken was given to a promotion: PostgreSQL takes the next one")
	}
	check(t, ReserveTimelines(n.in, 4))
	check(t, DropReserved(n.in))
	if newest := must(NewestHistory(n.in))(t); newest != 2 {
		t.Errorf("newest history %d, want the real one", newest)
	}
}
