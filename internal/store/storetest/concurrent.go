package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/pgherd/pgherd/internal/store"
)

// testOneWinner lets eight contenders on two handles race for each next
// revision: exactly one may get it, and the value must be the winner's.
func testOneWinner(t *testing.T, f Factory) {
	s := open(t, f)
	handles := []store.Store{s, another(t, f, s)}
	var rev int64
	for round := range 10 {
		winners := race(t, handles, rev)
		if len(winners) != 1 {
			t.Fatalf("round %d at revision %d: %d winners", round, rev, len(winners))
		}
		for name, won := range winners {
			wantEntry(t, s, "lease", name, won)
			rev = won
		}
	}
}

func race(t *testing.T, handles []store.Store, expect int64) map[string]int64 {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	winners := map[string]int64{}
	for i := range 8 {
		wg.Go(func() {
			name := strconv.Itoa(i)
			rev, err := handles[i%len(handles)].Put(ctx(t), "lease", []byte(name), expect)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				winners[name] = rev
			} else if !errors.Is(err, store.ErrConflict) {
				t.Errorf("contender %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	return winners
}

// testSnapshotIsConsistent has a writer count up a then b, so that at every
// instant a is b or b+1; a snapshot made of two reads would be caught.
func testSnapshotIsConsistent(t *testing.T, f Factory) {
	s := open(t, f)
	a, b := put(t, s, "a", "0", 0), put(t, s, "b", "0", 0)
	reader := another(t, f, s)
	done := make(chan error, 1)
	go func() { done <- countUp(t, s, a, b) }()
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		wantInStep(t, snapshot(t, reader))
	}
}

func countUp(t *testing.T, s store.Store, a, b int64) (err error) {
	for i := 1; i <= 100; i++ {
		value := []byte(strconv.Itoa(i))
		if a, err = s.Put(ctx(t), "a", value, a); err != nil {
			return fmt.Errorf("a: %w", err)
		}
		if b, err = s.Put(ctx(t), "b", value, b); err != nil {
			return fmt.Errorf("b: %w", err)
		}
	}
	return nil
}

func wantInStep(t *testing.T, snap store.Snapshot) {
	t.Helper()
	a, _ := strconv.Atoi(string(snap.Entries["a"].Value))
	b, _ := strconv.Atoi(string(snap.Entries["b"].Value))
	if a != b && a != b+1 {
		t.Fatalf("torn snapshot at %d: a=%d b=%d", snap.Revision, a, b)
	}
	for key, e := range snap.Entries {
		if e.Revision > snap.Revision {
			t.Fatalf("%s at %d in a snapshot at %d", key, e.Revision, snap.Revision)
		}
	}
}
