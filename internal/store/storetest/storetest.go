package storetest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/store"
)

// Factory opens the implementation under test.
type Factory interface {
	// Open gives a handle on a new, empty content, isolated from all others.
	Open(t *testing.T) store.Store
	// Another gives a second handle on the content of s, as another member has.
	Another(t *testing.T, s store.Store) store.Store
}

// patience is how long a call may take on a busy machine; nothing waits for it
// when the implementation is right.
const patience = 20 * time.Second

// Run runs the suite. Stores are closed by it.
func Run(t *testing.T, f Factory) {
	tests := []struct {
		name string
		run  func(*testing.T, Factory)
	}{
		{"EmptySnapshot", testEmptySnapshot},
		{"Create", testCreate},
		{"Replace", testReplace},
		{"Delete", testDelete},
		{"DeleteConflict", testDeleteConflict},
		{"RevisionsGrow", testRevisionsGrow},
		{"BinaryValues", testBinaryValues},
		{"ValuesAreCopies", testValuesAreCopies},
		{"SecondHandle", testSecondHandle},
		{"Isolation", testIsolation},
		{"EndedContext", testEndedContext},
		{"Close", testClose},
		{"OneWinner", testOneWinner},
		{"SnapshotIsConsistent", testSnapshotIsConsistent},
		{"WatchHints", testWatchHints},
		{"WatchOfSome", testWatchOfSome},
		{"WatchCoalesces", testWatchCoalesces},
		{"WatchEnds", testWatchEnds},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, f) })
	}
}

func testEmptySnapshot(t *testing.T, f Factory) {
	s := open(t, f)
	if snap := snapshot(t, s); len(snap.Entries) != 0 {
		t.Fatalf("a new store holds %v", snap.Entries)
	}
}

func testCreate(t *testing.T, f Factory) {
	s := open(t, f)
	rev := put(t, s, "lease", "a", 0)
	if rev <= 0 {
		t.Fatalf("revision %d, want > 0", rev)
	}
	conflict(t, s, "lease", 0)
	conflict(t, s, "other", rev)
	wantEntry(t, s, "lease", "a", rev)
}

func testReplace(t *testing.T, f Factory) {
	s := open(t, f)
	first := put(t, s, "members/n1", "a", 0)
	second := put(t, s, "members/n1", "b", first)
	conflict(t, s, "members/n1", first)
	conflict(t, s, "members/n1", second+1)
	wantEntry(t, s, "members/n1", "b", second)
}

func testDelete(t *testing.T, f Factory) {
	s := open(t, f)
	rev := put(t, s, "k", "a", 0)
	before := snapshot(t, s).Revision
	if err := s.Delete(ctx(t), "k", rev); err != nil {
		t.Fatal(err)
	}
	after := snapshot(t, s)
	if _, there := after.Entries["k"]; there || after.Revision <= before {
		t.Fatalf("after delete: %v, revision %d (before %d)", after.Entries, after.Revision, before)
	}
	if again := put(t, s, "k", "b", 0); again <= rev {
		t.Fatalf("revision %d after delete, not above %d: a stale holder would match it", again, rev)
	}
}

func testDeleteConflict(t *testing.T, f Factory) {
	s := open(t, f)
	rev := put(t, s, "k", "a", 0)
	for _, expect := range []int64{0, rev - 1, rev + 1} {
		if err := s.Delete(ctx(t), "k", expect); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("delete at %d of revision %d: %v", expect, rev, err)
		}
	}
	if err := s.Delete(ctx(t), "missing", rev); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("delete of a missing key: %v", err)
	}
	wantEntry(t, s, "k", "a", rev)
}

func testRevisionsGrow(t *testing.T, f Factory) {
	s := open(t, f)
	last := snapshot(t, s).Revision
	var a, b int64
	for range 10 {
		for key, rev := range map[string]*int64{"a": &a, "b": &b} {
			*rev = put(t, s, key, "v", *rev)
			if *rev <= last {
				t.Fatalf("revision %d after %d", *rev, last)
			}
			last = snapshot(t, s).Revision
			if last < *rev {
				t.Fatalf("snapshot at %d misses the write at %d", last, *rev)
			}
		}
	}
}

func testBinaryValues(t *testing.T, f Factory) {
	s := open(t, f)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	values := map[string][]byte{"every": every, "empty": {}, "nul": {0}, "large": bytes.Repeat([]byte("x"), 256<<10)}
	for key, value := range values {
		if _, err := s.Put(ctx(t), key, value, 0); err != nil {
			t.Fatal(err)
		}
	}
	snap := snapshot(t, s)
	for key, value := range values {
		if e, there := snap.Entries[key]; !there || !bytes.Equal(e.Value, value) {
			t.Errorf("%s: there %v, %d bytes, want %d", key, there, len(e.Value), len(value))
		}
	}
}

func testValuesAreCopies(t *testing.T, f Factory) {
	s := open(t, f)
	value := []byte("mine")
	rev, err := s.Put(ctx(t), "k", value, 0)
	if err != nil {
		t.Fatal(err)
	}
	value[0] = 'X'
	snapshot(t, s).Entries["k"].Value[1] = 'X'
	wantEntry(t, s, "k", "mine", rev)
}

func testSecondHandle(t *testing.T, f Factory) {
	s := open(t, f)
	other := another(t, f, s)
	rev := put(t, s, "k", "a", 0)
	wantEntry(t, other, "k", "a", rev) // at once: reads are linearizable
	rev = put(t, other, "k", "b", rev)
	wantEntry(t, s, "k", "b", rev)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantEntry(t, other, "k", "b", rev)
}

func testIsolation(t *testing.T, f Factory) {
	a, b := open(t, f), open(t, f)
	rev := put(t, a, "k", "a", 0)
	put(t, b, "k", "b", 0)
	put(t, b, "only", "b", 0)
	if n := len(snapshot(t, a).Entries); n != 1 {
		t.Fatalf("%d entries, want 1", n)
	}
	wantEntry(t, a, "k", "a", rev)
}

func testEndedContext(t *testing.T, f Factory) {
	s := open(t, f)
	rev := put(t, s, "k", "a", 0)
	ended, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	_, snapErr := s.Snapshot(ended)
	_, putErr := s.Put(ended, "k", []byte("b"), rev)
	for what, err := range map[string]error{"snapshot": snapErr, "put": putErr, "delete": s.Delete(ended, "k", rev)} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
	}
	wantEntry(t, s, "k", "a", rev) // and the store is as usable as before
}

func testClose(t *testing.T, f Factory) {
	s := open(t, f)
	hints := s.Watch(ctx(t), nil)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, snapErr := s.Snapshot(ctx(t))
	_, putErr := s.Put(ctx(t), "k", nil, 0)
	for what, err := range map[string]error{"snapshot": snapErr, "put": putErr, "delete": s.Delete(ctx(t), "k", 1)} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
	wantClosed(t, hints)
	wantClosed(t, s.Watch(ctx(t), nil))
}
