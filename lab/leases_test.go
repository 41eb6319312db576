//go:build lab

package lab

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/trust"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
)

// checkLeases judges the lease as all members' journals have it: terms grow by one, and nobody
// trusts a lease that another has taken. All members of one machine share its boot clock, so that
// their instants can be compared, except where a scenario gives them clocks of their own.
func (l *Lab) checkLeases() {
	l.T.Helper()
	var entries []journal.Entry
	for _, m := range l.Cluster.Members {
		if len(m.Host.Wrap) > 0 {
			l.T.Log("the lease's history is not judged: the members' clocks differ")
			return
		}
		entries = append(entries, journalOf(l, m)...)
	}
	ops := leaseOps(entries)
	if len(ops) < 2 {
		l.T.Errorf("the journals show only %d operations on the lease", len(ops))
	}
	for _, p := range history.CheckLeases(ops) {
		l.T.Error("lease: " + p)
	}
}

// journalOf reads a member's decisions, the oldest first. A line that a crash cut is left out.
func journalOf(l *Lab, m *cluster.Member) (entries []journal.Entry) {
	for _, name := range []string{"journal.jsonl.3", "journal.jsonl.2", "journal.jsonl.1", "journal.jsonl"} {
		text, err := os.ReadFile(filepath.Join(m.StateDir, "journal", name))
		if err != nil && !os.IsNotExist(err) {
			l.T.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var e journal.Entry
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				entries = append(entries, e)
			}
		}
	}
	return entries
}

// leaseOps finds in the journals who took which term, and when its holder certainly trusted it.
func leaseOps(entries []journal.Entry) (ops []history.LeaseOp) {
	type term struct {
		holder string
		number uint64
	}
	taken, seen, gave := map[term]bool{}, map[term]core.Instant{}, map[term]core.Instant{}
	for _, e := range entries {
		s, at := e.View.Store, time.Duration(e.View.Now)
		t := term{s.Lease.Holder, s.Lease.Term}
		if t.number == 0 {
			continue
		}
		if first, ok := seen[t]; !ok || s.ReadAt < first {
			seen[t] = s.ReadAt
		}
		if t.holder == e.View.Self && gives(e.Plan) {
			gave[t] = e.View.Now
		}
		// Who has sent a release, and does not know what became of it, lets nothing write before a renewal has succeeded after it.
		if at, ok := gave[t]; ok && s.RenewedAt <= at {
			continue
		}
		if t.holder != e.View.Self || s.Lease.Released || s.RenewedTerm != t.number || e.View.Now >= trust.Until(s.RenewedAt, s.Lease) {
			continue
		}
		if !taken[t] {
			taken[t] = true
			ops = append(ops, history.LeaseOp{Member: t.holder, Term: t.number, Kind: history.Take, Sent: time.Duration(s.RenewedAt), Done: at})
		}
		ops = append(ops, history.LeaseOp{Member: t.holder, Term: t.number, Kind: history.Hold, Sent: at, Done: at})
	}
	for t, at := range seen {
		if !taken[t] { // its holder did not live to write it down; ReadAt is when a reader asked, the answer came within a second or so
			ops = append(ops, history.LeaseOp{Member: t.holder, Term: t.number, Kind: history.Take, Done: time.Duration(at) + 2*time.Second})
		}
	}
	return ops
}

func gives(p core.Plan) bool {
	return slices.ContainsFunc(p.Steps, func(s core.Step) bool { return s.Kind == core.StepPutLease && s.Lease.Released })
}

// TestLeaseOpsOfABadJournal: the way from a journal to the verdict shows a fault that is there.
func TestLeaseOpsOfABadJournal(t *testing.T) {
	entry := func(self, holder string, term uint64, now core.Instant) journal.Entry {
		e := journal.Entry{}
		e.View.Now, e.View.Self = now*core.Instant(time.Second), self
		e.View.Store.ReadAt, e.View.Store.RenewedAt, e.View.Store.RenewedTerm = e.View.Now, e.View.Now, term
		e.View.Store.Lease = core.LeaseRecord{Holder: holder, Term: term}
		e.View.Store.Lease.TTL, e.View.Store.Lease.Margin = 5e9, 1e9
		return e
	}
	good := []journal.Entry{entry("a", "a", 1, 10), entry("a", "a", 1, 20), entry("b", "b", 2, 30), entry("c", "b", 2, 31)}
	if got := history.CheckLeases(leaseOps(good)); len(got) > 0 {
		t.Errorf("%q", got)
	}
	if got := history.CheckLeases(leaseOps(append(good, entry("a", "a", 1, 40)))); len(got) == 0 {
		t.Error("a trusted term 1 after b took term 2, and nothing is said")
	}
	// A release whose answer is missing: it may have landed, and what a trusts by the clock it lets nobody use.
	release := entry("a", "a", 1, 21)
	release.View.Store.RenewedAt -= core.Instant(time.Second)
	release.Plan.Steps = []core.Step{{Kind: core.StepPutLease, Lease: &core.LeaseRecord{Holder: "a", Term: 1, Released: true}}}
	after := entry("a", "a", 1, 32)
	after.View.Store.RenewedAt = release.View.Store.RenewedAt + core.Instant(10*time.Second)
	after.View.Store.Lease.TTL = 60e9
	unanswered := after
	unanswered.View.Store.RenewedAt = release.View.Store.RenewedAt
	if got := history.CheckLeases(leaseOps([]journal.Entry{good[0], good[1], release, good[2], unanswered, good[3]})); len(got) > 0 {
		t.Errorf("a release without an answer: %q", got)
	}
	if got := history.CheckLeases(leaseOps([]journal.Entry{good[0], good[1], release, good[2], after, good[3]})); len(got) == 0 {
		t.Error("a renewed term 1 after b took term 2, and nothing is said")
	}
}
