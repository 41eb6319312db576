package top

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/wal"
)

var now = time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)

func lag(n int64) *int64 { return &n }

func status(at time.Duration, lsn wal.LSN, change ...func(*api.ClusterStatus)) api.ClusterStatus {
	s := api.ClusterStatus{Cluster: "main", Term: 7, At: now.Add(at), Sync: core.SyncSet{Members: []string{"n2"}, K: 1},
		Members: []api.MemberStatus{
			{Name: "n1", Role: api.RoleStandby, State: api.StateStreaming, Follows: "n3", LagBytes: lag(2048)},
			{Name: "n2", Role: api.RoleStandby, State: api.StateStreaming, Follows: "n3", LagBytes: lag(0), Drained: true, Pending: []string{"x"}},
			{Name: "n3", Role: api.RolePrimary, State: api.StateRunning, LSN: lsn, CommitMS: 3.14, Sessions: 12, SessionsMax: 97},
			{Name: "w1", Role: api.RoleWitness, State: api.StateRunning},
			{Name: "n4", Role: api.RoleStandby, State: api.StateUnreachable},
		},
		Endpoints: []api.EndpointStatus{{Name: "n1", Target: "n3", Readers: []string{"n1", "n2"}, Clients: 5}, {Name: "app", Text: "alone"}},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

var plain = Size{Width: 200, Height: 40, Plain: true}

func screen(m *Model, size Size) string {
	return strings.Join(m.Lines(size, now.Add(5*time.Second)), "\n")
}

func TestScreen(t *testing.T) {
	m := &Model{}
	if got := screen(m, plain); got != "nothing is told yet\nq: quit" {
		t.Errorf("before anything is told:\n%s", got)
	}
	m.Status(status(0, 0x1000000))
	m.Status(status(100*time.Millisecond, 0x1100000)) // too soon for a rate
	m.Status(status(2*time.Second, 0x1200000))
	m.Event(journal.Event{At: now, Member: "n3", Code: "leader_changed", Severity: core.Warning, Text: "n3 leads term 7"})
	want := `cluster main, term 7, commits are kept on n3 and 1 of n2  08:00:05 UTC

n3              primary  running      █ 1.0 MB/s of WAL   a commit takes 3.1 ms   12 of 97 sessions
├─ n1           standby  streaming    2.0 kB behind
└─ n2           standby  streaming    commits wait for it   0 B behind   drained   a restart is pending
w1              witness  running      
n4              standby  unreachable  

endpoint n1           writes to n3, reads from n1, n2, 5 clients
endpoint app          writes to (clients wait), reads from (clients wait), 0 clients  alone

nothing needs attention

08:00:00 n3         leader_changed: n3 leads term 7
q: quit`
	if got := screen(m, plain); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	m.Status(status(3*time.Second, 0x1200000, func(s *api.ClusterStatus) {
		s.Paused, s.Sync = true, core.SyncSet{}
		s.Operation = &core.Operation{ID: "op1", Kind: "switchover", Phase: "holding"}
		s.Conditions = []peer.Condition{{Code: "paused", Severity: core.Warning, Text: "the cluster is paused", Hint: "pgherd resume"}}
		s.Members[4].Conditions = []peer.Condition{{Code: "member_unreachable", Severity: core.Error, Text: "n4"}}
	}))
	m.Trouble("the agent does not answer")
	for _, want := range []string{"commits are kept on n3 only", "PAUSED", "█▁ 0 B/s of WAL", "switchover under way: holding, for 2s", "paused: the cluster is paused\n  hint: pgherd resume", "n4: member_unreachable: n4", "the agent does not answer"} {
		if got := screen(m, plain); !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// TestSmallScreens: nothing is wider or higher than the terminal, and what others write cannot steer it.
func TestSmallScreens(t *testing.T) {
	m := &Model{}
	m.Status(status(0, 0x1000000, func(s *api.ClusterStatus) {
		s.Conditions = []peer.Condition{{Code: "x", Severity: core.Error, Text: "evil \x1b[2J\x07\u009b31m\xff text"}}
	}))
	for range 300 {
		m.Event(journal.Event{At: now, Member: "n1", Code: "code", Text: strings.Repeat("ü", 500)})
	}
	for _, size := range []Size{{80, 24, true}, {20, 5, true}, {1, 1, true}, {200, 300, true}} {
		lines := m.Lines(size, now)
		if len(lines) > size.Height {
			t.Errorf("%+v: %d lines", size, len(lines))
		}
		for _, l := range lines {
			if utf8.RuneCountInString(l) > size.Width || strings.ContainsAny(l, "\x1b\x07\u009b") || !utf8.ValidString(l) {
				t.Errorf("%+v: %q", size, l)
			}
		}
	}
	if got := strings.Join(m.Lines(Size{80, 24, false}, now), "\n"); !strings.Contains(got, "\x1b[31mx: \x1b[0mevil  [2J") {
		t.Errorf("in colours: %q", got)
	}
	if len(m.events) != eventsKept {
		t.Errorf("%d events are kept", len(m.events))
	}
}

// TestRates: one a second, of one primary; a new one begins anew.
func TestRates(t *testing.T) {
	m := &Model{}
	for i := range 60 {
		m.Status(status(time.Duration(i)*time.Second, wal.LSN(0x1000000+i*1000)))
	}
	if len(m.rates) != rates || m.rates[0] != 1000 {
		t.Errorf("%v", m.rates)
	}
	n := len(m.rates)
	m.Status(status(61*time.Second, 0x9000000, func(s *api.ClusterStatus) { s.Members[2].Name = "n9" }))
	m.Status(status(90*time.Second, 0x9900000, func(s *api.ClusterStatus) { s.Members[2].Name = "n9" })) // nobody looked for a while
	if len(m.rates) != n || m.rates[n-1] != 1000 {
		t.Errorf("another primary: %v", m.rates)
	}
}
