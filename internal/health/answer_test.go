package health

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

const now = core.Instant(time.Hour)

// facts are those of n2 in a cluster that n1 leads; change makes others of them.
func facts(change ...func(*Facts)) Facts {
	f := Facts{Now: now, Decided: now.Add(-time.Second)}
	f.View.Self = "n2"
	f.View.Store.Lease = core.LeaseRecord{Holder: "n1", Term: 3, LSN: 0x2000, TTL: spec.Duration(5 * time.Second), Sync: core.SyncSet{Members: []string{"n2"}, K: 1}}
	f.View.Store.Members = []core.MemberRecord{{Name: "n1"}, {Name: "n2", Tags: spec.Tags{Zone: "a", Priority: 7}}}
	f.View.Local.Instance = core.Instance{State: core.StateRunning, Streaming: true, ReceivedLSN: 0x2000, ReplayLSN: 0x2000}
	f.View.Peers = []core.Peer{{Name: "n1", Known: true, Instance: core.Instance{Primary: true, WriteLSN: 0x3000}}}
	for _, c := range change {
		c(&f)
	}
	return f
}

func leading(f *Facts) {
	f.View.Store.Lease.Holder = "n2"
	f.View.Local.Instance = core.Instance{State: core.StateRunning, Primary: true, WriteLSN: 0x4000}
	f.Report.Trusted = now.Add(3 * time.Second)
}

// yes lists the paths that are answered with yes.
func yes(t *testing.T, f Facts, query string) string {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, path := range slices.Sorted(maps.Keys(questions)) {
		ok, err := Answer(path, q, f)
		if err != nil {
			t.Fatalf("%s?%s: %v", path, query, err)
		}
		if ok {
			list = append(list, path)
		}
	}
	return strings.Join(list, " ")
}

const (
	ofPrimary = "/ /health /leader /liveness /master /primary /read-only /read-only-quorum /read-only-sync /read-only-synchronous /read-write /readiness"
	ofSync    = "/health /liveness /quorum /read-only /read-only-quorum /read-only-sync /read-only-synchronous /readiness /replica /sync /synchronous"
	ofAsync   = "/async /asynchronous /health /liveness /read-only /readiness /replica"
)

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		f     Facts
		query string
		want  string
	}{
		"nothing known":                       {Facts{}, "", ""},
		"primary":                             {facts(leading), "", ofPrimary},
		"primary, whatever is asked of lag":   {facts(leading), "lag=0&tag_zone=b", ofPrimary},
		"primary whose trust has ended":       {facts(leading, func(f *Facts) { f.Report.Trusted = now }), "", "/health /liveness"},
		"primary by its lease, promoting yet": {facts(leading, func(f *Facts) { f.View.Local.Instance.Primary = false }), "", "/async /asynchronous /health /liveness /read-only /replica"},
		"primary that keeps clients out":      {facts(leading, func(f *Facts) { f.View.Local.Held = true }), "", "/health /liveness"},
		"primary that has given the lease up": {facts(leading, func(f *Facts) { f.View.Store.Lease.Released = true }), "", "/health /liveness"},
		"primary of a lease that another has": {facts(leading, func(f *Facts) { f.View.Store.Lease.Holder = "n1" }), "", "/health /liveness"},
		"primary that is down":                {facts(leading, func(f *Facts) { f.View.Local.Instance.State = core.StateStopped }), "", "/liveness"},
		"primary whose loop stands still":     {facts(leading, func(f *Facts) { f.Decided = now.Add(-5 * time.Second) }), "", ""},
		"a decision from before a boot":       {facts(leading, func(f *Facts) { f.Decided = now.Add(time.Second) }), "", ""},
		"standby that is counted":             {facts(), "", ofSync},
		"standby that is not counted":         {facts(func(f *Facts) { f.View.Store.Lease.Sync = core.SyncSet{} }), "", ofAsync},
		"standby of a lease that is free":     {facts(func(f *Facts) { f.View.Store.Lease.Released = true }), "", ofAsync},
		"standby that streams from nobody":    {facts(func(f *Facts) { f.View.Local.Instance.Streaming = false }), "", "/async /asynchronous /health /liveness /read-only /replica"},
		"standby that is drained":             {facts(func(f *Facts) { f.View.Store.Drained = []string{"n2"} }), "", "/health /liveness"},
		"standby that starts":                 {facts(func(f *Facts) { f.View.Local.Instance.State = core.StateStarting }), "", "/liveness"},
		"standby whose loop is slow":          {facts(func(f *Facts) { f.Decided = now.Add(-7 * time.Second) }), "", "/liveness"},
		"standby within the lag":              {facts(), "lag=4096", ofSync},
		"standby beyond it":                   {facts(), "lag=4095", "/health /liveness"},
		"standby within it, in kB":            {facts(), "lag=4kB", ofSync},
		"standby of the zone":                 {facts(), "tag_zone=a&tag_nofailover=false&tag_failover_priority=7", ofSync},
		"standby of another zone":             {facts(), "tag_zone=b", "/health /liveness"},
		"a tag that nobody has":               {facts(), "tag_color=red", "/health /liveness"},
		"by the state of replication":         {facts(), "replication_state=streaming", ofSync},
		"by another state":                    {facts(), "replication_state=in_archive_recovery", "/health /liveness"},
	} {
		if got := yes(t, c.f, c.query); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestBadQuestions(t *testing.T) {
	for path, query := range map[string]string{"/replica": "lag=much", "/read-only": "lag=-1", "/primary": "lag=1XB", "/sync": "lag=9999999999TB", "/elsewhere": ""} {
		q, _ := url.ParseQuery(query)
		if ok, err := Answer(path, q, facts()); err == nil || ok {
			t.Errorf("%s?%s: %v, %v", path, query, ok, err)
		}
	}
}
