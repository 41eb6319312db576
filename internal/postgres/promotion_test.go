package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
)

// TestAStartupProcessThatSleepsIsWoken: whose primary is gone waits wal_retrieve_retry_interval between two attempts, and may sleep
// so over a promotion. It is woken, from the wait and in the promotion.
func TestAStartupProcessThatSleepsIsWoken(t *testing.T) {
	ctx := testContext(t)
	ca := newCA(t)
	n1, n2 := newPrimary(t, ca, "n1", false), newNode(t, ca, "n2", false)
	n2.source, n2.params = n1, map[string]string{"wal_retrieve_retry_interval": "1h", "shared_buffers": "16MB", "max_connections": "30"}
	check(t, n1.db.CreateSlot(ctx, spec.SlotName("n2")))
	clone(t, n1, n2)
	n1.stop(t)
	tries := func() int { return strings.Count(n2.log.String(), "could not connect to the primary server") }
	for tries() == 0 { // the first one is made at once, each other an hour later
		pause(t, ctx)
	}
	was := tries()
	for tries() == was {
		if there := must(n2.db.WakeRecovery(ctx))(t); !there {
			t.Fatal("a standby without a startup process")
		}
		pause(t, ctx)
	}
	check(t, n2.db.Promote(ctx))
	for there := true; there; pause(t, ctx) {
		there = must(n2.db.WakeRecovery(ctx))(t)
	}
	if f := must(n2.db.Facts(ctx))(t); f.InRecovery {
		t.Error("its startup process has ended, and it is in recovery")
	}
}

// pause is between two looks at what no signal tells.
func pause(t *testing.T, ctx interface{ Err() error }) {
	t.Helper()
	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}
	time.Sleep(2 * time.Millisecond)
}
