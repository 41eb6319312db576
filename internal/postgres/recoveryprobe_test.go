package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
)

// TestRecoveryProbe: one session tells of a promotion, and of the server's end as it happens.
func TestRecoveryProbe(t *testing.T) {
	ctx := testContext(t)
	ca := newCA(t)
	ca.issuePooler(t, "app1")
	n1, n2 := newPrimary(t, ca, "n1", false), newNode(t, ca, "n2", false)
	n2.source = n1
	check(t, n1.db.CreateSlot(ctx, spec.SlotName("n2")))
	clone(t, n1, n2)

	primary, standby := openProbe(t, n1), openProbe(t, n2)
	if r := must(primary.Look(ctx))(t); !r.Writes || r.LSN == 0 {
		t.Errorf("the primary: %+v", r)
	}
	if r := must(standby.Look(ctx))(t); r.Writes || r.LSN == 0 {
		t.Errorf("the standby: %+v", r)
	}
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	if err := standby.Wait(short); err != nil {
		t.Fatalf("nothing has happened: %v", err)
	}
	if err := standby.Wait(short); err != nil {
		t.Fatal(err)
	}

	ended := make(chan error, 1)
	go func() { ended <- primary.Wait(ctx) }()
	n1.stop(t)
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Errorf("the primary has stopped: %v", err)
	}
	if _, err := OpenRecoveryProbe(ctx, n1.asSource("app1")); err == nil || Late(err) || NoRoom(err) || Brief(err) != "connection refused" {
		t.Errorf("a session on a server that is stopped: %v", err)
	}

	check(t, n2.db.Promote(ctx))
	for { // the session from before tells of it
		r := must(standby.Look(ctx))(t)
		if r.Writes {
			break
		}
		pause, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
		check(t, standby.Wait(pause))
		cancel()
	}
	crowded(t, n2)
}

func openProbe(t *testing.T, n *node) *RecoveryProbe {
	t.Helper()
	p := must(OpenRecoveryProbe(testContext(t), n.asSource("app1")))(t)
	t.Cleanup(p.Close)
	return p
}

// crowded: a server without a connection to spare is not taken for one that is down.
func crowded(t *testing.T, n *node) {
	ctx := testContext(t)
	for {
		p, err := OpenRecoveryProbe(ctx, n.asSource("app1"))
		if err == nil {
			t.Cleanup(p.Close)
			continue
		}
		if !NoRoom(err) || !strings.Contains(Brief(err), "too many clients") && !strings.Contains(Brief(err), "remaining connection slots") {
			t.Errorf("no connection is left: %v", err)
		}
		break
	}
	late, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	if _, err := OpenRecoveryProbe(late, n.asSource("app1")); !Late(err) || errors.Is(err, context.Canceled) {
		t.Errorf("no time: %v", err)
	}
}
