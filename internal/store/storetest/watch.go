package storetest

import (
	"context"
	"testing"
	"time"
)

// settled is how long a quiet watch must stay quiet: long enough that a watch
// which fires all by itself is caught.
const settled = 300 * time.Millisecond

// testWatchHints changes a key until the hint comes: a watch may miss a change
// made before it was established, but it must not miss all of them.
func testWatchHints(t *testing.T, f Factory) {
	s := open(t, f)
	watcher := another(t, f, s)
	hints := watcher.Watch(ctx(t), nil)
	var rev int64
	quiet(t, hints)
	for range 3 {
		rev = put(t, s, "k", "v", rev)
		wantHint(t, hints)
		quiet(t, hints)
	}
	if err := s.Delete(ctx(t), "k", rev); err != nil {
		t.Fatal(err)
	}
	wantHint(t, hints)
}

// testWatchOfSome: what is no news gives no hint, and hides none.
func testWatchOfSome(t *testing.T, f Factory) {
	s := open(t, f)
	watcher := another(t, f, s)
	hints := watcher.Watch(ctx(t), func(key string) bool { return key == "loud" })
	quiet(t, hints)
	put(t, s, "quiet", "v", 0)
	if n := quiet(t, hints); n > 0 {
		t.Fatalf("%d hints of a change that is no news", n)
	}
	put(t, s, "loud", "v", 0)
	wantHint(t, hints)
}

// testWatchCoalesces: a reader that was busy for many changes gets one hint or
// two, not one each, and the writer is never held up by it.
func testWatchCoalesces(t *testing.T, f Factory) {
	s := open(t, f)
	hints := s.Watch(ctx(t), nil)
	quiet(t, hints)
	if cap(hints) != 1 {
		t.Fatalf("capacity %d, want 1", cap(hints))
	}
	var rev int64
	for range 50 {
		rev = put(t, s, "k", "v", rev)
	}
	wantHint(t, hints)
	if n := quiet(t, hints); n > 5 {
		t.Fatalf("%d more hints for changes that are over", n)
	}
}

func testWatchEnds(t *testing.T, f Factory) {
	s := open(t, f)
	watched, cancel := context.WithCancel(ctx(t))
	ending, lasting := s.Watch(watched, nil), s.Watch(ctx(t), nil)
	cancel()
	wantClosed(t, ending)
	wantClosed(t, s.Watch(watched, nil))
	quiet(t, lasting)
	put(t, s, "k", "v", 0)
	wantHint(t, lasting)
}

// quiet waits until no hint came for a while and says how many came before.
func quiet(t *testing.T, hints <-chan struct{}) int {
	t.Helper()
	over := time.After(patience)
	for n := 0; ; n++ {
		select {
		case _, open := <-hints:
			if !open {
				t.Fatal("the watch ended")
			}
		case <-time.After(settled):
			return n
		case <-over:
			t.Fatalf("%d hints without a change", n)
		}
	}
}

func wantHint(t *testing.T, hints <-chan struct{}) {
	t.Helper()
	select {
	case _, open := <-hints:
		if !open {
			t.Fatal("the watch ended")
		}
	case <-time.After(patience):
		t.Fatal("no hint")
	}
}

func wantClosed(t *testing.T, hints <-chan struct{}) {
	t.Helper()
	over := time.After(patience)
	for {
		select {
		case _, open := <-hints:
			if !open {
				return
			}
		case <-over:
			t.Fatal("the watch did not end")
		}
	}
}
