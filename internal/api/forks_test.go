package api

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/wal"
)

// keeps is a member's backend with one fork and one data directory.
func keeps(member string, at time.Time) func(*Backend) {
	s := forks.Summary{ID: "20261125T190000Z-tl1", Member: member, SavedAt: at, Timeline: 1, From: wal.Position{Timeline: 1, LSN: 0x5000},
		To: wal.Position{Timeline: 1, LSN: 0x6000}, Committed: 2, Transactions: []forks.Transaction{{XID: 7}, {XID: 8}}, Complete: true}
	return func(b *Backend) {
		b.Forks = func(context.Context) ([]ForkEntry, error) {
			return []ForkEntry{EntryOf(s, "/forks/"+s.ID, 16<<20), {ID: member + "/aside-20261126T190000Z", Kind: ForkData, Member: member, SavedAt: at.Add(24 * time.Hour), DiskBytes: 1 << 30}}, nil
		}
		b.Fork = func(id string) (forks.Summary, error) {
			if id != s.ID {
				return forks.Summary{}, os.ErrNotExist
			}
			return s, nil
		}
	}
}

// TestForksOfAllMembers runs two servers and asks one.
func TestForksOfAllMembers(t *testing.T) {
	at, ctx := time.Date(2026, 11, 25, 19, 0, 0, 0, time.UTC), context.Background()
	f := newFixture(t, keeps("n1", at.Add(time.Hour)))
	config, err := pki.ClientTLS(f.pki("n1"))
	if err != nil {
		t.Fatal(err)
	}
	g := newFixture(t, keeps("n2", at), func(b *Backend) { b.Name, b.PKI, b.Peers = "n2", f.pki("n2"), peer.New(config) })
	g.put(records.MemberPrefix+"n1", core.MemberRecord{Name: "n1", Ordinal: 1, Address: "127.0.0.1", APIPort: portOf(t, f.s.Addr())})
	c := g.local()
	all, err := c.Forks(ctx, "")
	var ids []string
	for _, e := range all.Forks {
		ids = append(ids, e.ID)
	}
	if want := []string{"n2/20261125T190000Z-tl1", "n1/20261125T190000Z-tl1", "n2/aside-20261126T190000Z", "n1/aside-20261126T190000Z"}; err != nil || !slices.Equal(ids, want) || !slices.Equal(all.Missing, []string{"n3"}) {
		t.Errorf("%v missing %v, %v", ids, all.Missing, err)
	}
	if one, err := c.Forks(ctx, "n1"); err != nil || len(one.Forks) != 2 || one.Forks[0].Member != "n1" || one.Missing != nil {
		t.Errorf("of n1: %+v %v", one, err)
	}
	if _, err := c.Forks(ctx, "n9"); codeOf(err) != "no_such_member" {
		t.Errorf("of nobody: %v", err)
	}
	for _, member := range []string{"n1", "n2"} {
		d, err := c.Fork(ctx, member, "20261125T190000Z-tl1")
		if err != nil || d.Member != member || d.Summary == nil || len(d.Summary.Transactions) != 2 || d.DiskBytes != 16<<20 {
			t.Errorf("fork of %s: %+v %v", member, d, err)
		}
		if d, err := c.Fork(ctx, member, "aside-20261126T190000Z"); err != nil || d.Kind != ForkData || d.Summary != nil {
			t.Errorf("data directory of %s: %+v %v", member, d, err)
		}
		if _, err := c.Fork(ctx, member, "x"); codeOf(err) != "no_such_fork" {
			t.Errorf("no fork of %s: %v", member, err)
		}
	}
	if _, err := c.Fork(ctx, "n3", "20261125T190000Z-tl1"); codeOf(err) != "unreachable" {
		t.Errorf("of a silent member: %v", err)
	}
}

// A removal is an intent with its author, for the member that keeps the fork.
func TestForkRemovalIsAnIntent(t *testing.T) {
	f := newFixture(t, keeps("n1", time.Now()))
	c, ctx := f.local(), context.Background()
	if a, err := c.RemoveFork(ctx, "n1", "20261125T190000Z-tl1"); err != nil || a.ID == "" || !strings.Contains(a.Text, "n1/20261125T190000Z-tl1") {
		t.Fatalf("%+v %v", a, err)
	}
	if _, err := c.RemoveFork(ctx, "n1", "20261125T190000Z-tl1"); err != nil {
		t.Errorf("asked for again: %v", err)
	}
	if _, err := c.RemoveFork(ctx, "n1", "x"); codeOf(err) != "no_such_fork" {
		t.Errorf("no fork: %v", err)
	}
	s, err := f.store.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	v, err := records.Decode(s, "n1")
	if err != nil || len(v.Removals) != 1 || v.Removals[0].ID != "20261125T190000Z-tl1" || v.Removals[0].By == "" || v.Removals[0].Revision == 0 {
		t.Errorf("removals: %+v %v", v.Removals, err)
	}
	if other, err := records.Decode(s, "n2"); err != nil || other.Removals != nil || len(other.Members) != 3 {
		t.Errorf("as n2 reads it: %+v %v", other.Removals, err)
	}
}
