package metrics

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"log/slog"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/health"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

const now = core.Instant(time.Hour)

var wall = time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)

// primary is a snapshot of n1, which leads n2 and n3; w1 is a witness, app1 a host that only pools.
func primary(change ...func(*snapshot.Snapshot)) snapshot.Snapshot {
	s := snapshot.Snapshot{Facts: health.Facts{Now: now, Decided: now.Add(-time.Second)}, Wall: wall, Cluster: "main", Version: "1.2.3", Server: snapshot.Server{Version: 150014}}
	v := &s.View
	v.Self = "n1"
	v.Store = core.StoreView{Known: true, ReadAt: now.Add(-2 * time.Second), Spec: spec.DefaultCluster()}
	v.Store.Lease = core.LeaseRecord{Holder: "n1", Term: 7, LSN: 0x4000, TTL: spec.Duration(5 * time.Second), Sync: core.SyncSet{Members: []string{"n2", "n3"}, K: 1},
		Lost: []core.Loss{{Member: "n3", Term: 5, From: wal.Position{Timeline: 2, LSN: 0x1000}, To: 0x1800}, {Member: "n3", Term: 6, From: wal.Position{Timeline: 3, LSN: 0x3000}, To: 0x2000}}}
	v.Store.Members = []core.MemberRecord{{Name: "n1"}, {Name: "n2"}, {Name: "n3"}, {Name: "w1", Witness: true}}
	v.Store.Poolers = []core.Pooler{
		{PoolerRecord: core.PoolerRecord{Name: "n1", Clients: 12, Target: "n1", Readers: []string{"n2"}}, SeenAt: now.Add(-3 * time.Second)},
		{PoolerRecord: core.PoolerRecord{Name: "n2", Clients: 30}},
		{PoolerRecord: core.PoolerRecord{Name: "app1", Clients: 5, Hold: &core.PoolerHold{State: core.HoldHeld, Clients: 4}}, SeenAt: now},
	}
	v.Local.Warden.Alive = true
	v.Local.Probe = core.Probe{Took: 3 * time.Millisecond, Since: now.Add(-time.Second)}
	v.Local.Disk = core.Disk{Data: core.Room{Free: 100, Size: 1000}}
	v.Local.Instance = core.Instance{State: core.StateRunning, Primary: true, StartedAt: wall.Add(-time.Hour).UnixMilli(), Timeline: 4, WriteLSN: 0x4000,
		Sessions: 9, SessionsMax: 97, Pending: []string{"max_connections"},
		Senders: []core.Sender{{Member: "n2", Streaming: true, FlushLSN: 0x3f00, ReplayLSN: 0x3e00}, {Member: "n2", FlushLSN: 0x100}}}
	v.Peers = []core.Peer{{Name: "n2", Known: true, Instance: core.Instance{Timeline: 4}}, {Name: "n3", Known: true, Age: time.Minute, Instance: core.Instance{Timeline: 4, ReceivedLSN: 0x2000}}, {Name: "w1"}}
	s.Report = core.Report{Role: "primary", Term: 7, Trusted: now.Add(3500 * time.Millisecond), Conditions: []core.Condition{
		{Code: core.CondMemberDown, Severity: core.Warning, Text: "n3"}, {Code: core.CondMemberDown, Severity: core.Warning, Text: "w1"}, {Code: core.CondCommitsLost, Severity: core.Warning}}}
	s.Kept = []snapshot.Kept{{Acked: true, Forks: 1, Bytes: 500, Transactions: 3}, {Acked: true, Forks: 1, Bytes: 70, Transactions: 2}}
	for _, c := range change {
		c(&s)
	}
	return s
}

// standby is n2 in the same cluster.
func standby(change ...func(*snapshot.Snapshot)) snapshot.Snapshot {
	return primary(append([]func(*snapshot.Snapshot){func(s *snapshot.Snapshot) {
		s.View.Self = "n2"
		s.View.Local.Instance = core.Instance{State: core.StateRunning, Streaming: true, Timeline: 4, StartedAt: wall.UnixMilli(), ReceivedLSN: 0x3f00, ReplayLSN: 0x3e00}
		s.Report = core.Report{Role: "standby", Term: 7}
		s.Server.ReplayedAt = wall.Add(-1500 * time.Millisecond)
		s.Kept = nil
	}}, change...)...)
}

func gather(t *testing.T, s snapshot.Snapshot) []*dto.MetricFamily {
	t.Helper()
	m := New(s.Cluster, s.View.Self, func() snapshot.Snapshot { return s }, slog.New(slog.DiscardHandler))
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func labelsOf(m *dto.Metric) string {
	var list []string
	for _, l := range m.GetLabel() {
		list = append(list, l.GetName()+"="+l.GetValue())
	}
	return strings.Join(list, " ")
}

// values gives those that are not zero and not of the process, without the labels that all have.
func values(t *testing.T, s snapshot.Snapshot, prefix string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, f := range gather(t, s) {
		if !strings.HasPrefix(f.GetName(), prefix) || f.GetType() == dto.MetricType_HISTOGRAM {
			continue
		}
		for _, m := range f.GetMetric() {
			var own []string
			for _, l := range m.GetLabel() {
				if !slices.Contains([]string{"cluster", "member", "scope", "name"}, l.GetName()) {
					own = append(own, l.GetValue())
				}
			}
			name := strings.TrimSpace(strings.TrimPrefix(f.GetName(), prefix) + " " + strings.Join(own, ","))
			all[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all
}

// shown writes what is not zero, sorted.
func shown(all map[string]float64) string {
	var list []string
	for name, v := range all {
		if v != 0 {
			list = append(list, fmt.Sprintf("%s %v", name, v))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

func TestPatroniOfAPrimary(t *testing.T) {
	want := fmt.Sprintf(`dcs_last_seen %v
pending_restart 1
postgres_running 1
postgres_server_version 150014
postgres_state 5
postgres_timeline 4
postmaster_start_time %v
primary 1
version 40104
xlog_location 16384`, float64(wall.Unix()-2), float64(wall.Unix()-3600))
	if got := shown(values(t, primary(), "patroni_")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPatroniOfAStandby(t *testing.T) {
	want := fmt.Sprintf(`dcs_last_seen %v
postgres_running 1
postgres_server_version 150014
postgres_state 5
postgres_streaming 1
postgres_timeline 4
postmaster_start_time %v
quorum_standby 1
replica 1
sync_standby 1
version 40104
xlog_received_location 16128
xlog_replayed_location 15872
xlog_replayed_timestamp %v`, float64(wall.Unix()-2), float64(wall.Unix()), float64(wall.Unix())-1.5)
	if got := shown(values(t, standby(), "patroni_")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPatroniOfOthers looks at one value each.
func TestPatroniOfOthers(t *testing.T) {
	for what, c := range map[string]struct {
		s    snapshot.Snapshot
		name string
		want float64
	}{
		"a loop that stands still runs nothing":     {primary(func(s *snapshot.Snapshot) { s.Decided = now.Add(-time.Minute) }), "postgres_running", 0},
		"nor leads":                                 {primary(func(s *snapshot.Snapshot) { s.Decided = now.Add(-time.Minute) }), "primary", 0},
		"a primary whose trust has ended":           {primary(func(s *snapshot.Snapshot) { s.Report.Trusted = now }), "primary", 0},
		"that one is no replica":                    {primary(func(s *snapshot.Snapshot) { s.Report.Trusted = now }), "replica", 0},
		"a lease that was given back":               {primary(func(s *snapshot.Snapshot) { s.View.Store.Lease.Released = true }), "cluster_unlocked", 1},
		"a lease that ran out":                      {standby(func(s *snapshot.Snapshot) { s.Vacant = true }), "cluster_unlocked", 1},
		"a store that was never read":               {standby(func(s *snapshot.Snapshot) { s.View.Store = core.StoreView{} }), "cluster_unlocked", 1},
		"when it was read":                          {standby(func(s *snapshot.Snapshot) { s.View.Store = core.StoreView{} }), "dcs_last_seen", 0},
		"failsafe":                                  {primary(func(s *snapshot.Snapshot) { s.Report.Conditions = []core.Condition{{Code: core.CondFailsafe}} }), "failsafe_mode_is_active", 1},
		"replay is paused":                          {standby(func(s *snapshot.Snapshot) { s.Server.ReplayPaused = true }), "xlog_paused", 1},
		"a standby without a stream and an archive": {standby(func(s *snapshot.Snapshot) { s.View.Local.Instance.Streaming = false }), "postgres_in_archive_recovery", 0},
		"and with one":                              {standby(func(s *snapshot.Snapshot) { s.View.Local.Instance.Streaming, s.Server.Archive = false, true }), "postgres_in_archive_recovery", 1},
		"paused":                                    {primary(func(s *snapshot.Snapshot) { s.View.Store.Paused = true }), "is_paused", 1},
		"a version of a server that is down":        {primary(func(s *snapshot.Snapshot) { s.View.Local.Instance.State = core.StateStopped }), "postgres_server_version", 0},
		"stopped":                                   {primary(func(s *snapshot.Snapshot) { s.View.Local.Instance.State = core.StateStopped }), "postgres_state", 12},
		"crashed": {primary(func(s *snapshot.Snapshot) {
			s.View.Local.Instance.State, s.View.Local.Warden.ExitText = core.StateStopped, "signal: killed"
		}), "postgres_state", 14},
		"being cloned":  {standby(func(s *snapshot.Snapshot) { s.View.Local.Job = core.Job{Kind: "clone", Running: true} }), "postgres_state", 4},
		"starting":      {standby(func(s *snapshot.Snapshot) { s.View.Local.Instance.State = core.StateStarting }), "postgres_state", 6},
		"not answering": {standby(func(s *snapshot.Snapshot) { s.View.Local.Instance.State = core.StateUnknown }), "postgres_state", -1},
		"nothing known": {snapshot.Snapshot{}, "postgres_state", -1},
	} {
		if got := values(t, c.s, "patroni_")[c.name]; got != c.want {
			t.Errorf("%s: %s is %v, want %v", what, c.name, got, c.want)
		}
	}
}

func TestOwnOfAPrimary(t *testing.T) {
	want := strings.TrimSpace(`
commit_seconds 0.003
commit_stalled_seconds 1
condition commits_lost,warning 1
condition member_unreachable,warning 2
connections 9
connections_max 97
decision_age_seconds 1
fork_bytes true 570
fork_transactions true 5
forks true 2
info 1.2.3 1
lease_held 1
lease_trusted_seconds 3.5
losses_open 2
losses_open_bytes 2048
members 4
members_reachable 2
pending_restart_settings 1
pooler_clients app1 5
pooler_clients n1 12
pooler_held_clients app1 4
pooler_leads n1 1
pooler_readers n1 1
pooler_silent_seconds n1 3
postgres_up 1
primary 1
role primary 1
standby_lag_bytes n2 256
standby_lag_bytes n3 8192
standby_replay_lag_bytes n2 512
standby_streaming n2 1
store_age_seconds 2
store_up 1
sync_set_members 2
sync_set_required 1
sync_standbys_wanted 1
term 7
timeline 4
volume_free_bytes data 100
volume_size_bytes data 1000
wal_position_bytes 16384
warden_up 1`)
	if got := shown(values(t, primary(), "pgherd_")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOwnOfOthers(t *testing.T) {
	for what, c := range map[string]struct {
		s    snapshot.Snapshot
		name string
		want float64
		none bool
	}{
		"a standby has received more than replayed": {s: standby(), name: "replay_backlog_bytes", want: 256},
		"the lease is another's":                    {s: standby(), name: "lease_trusted_seconds"},
		"a standby tells nobody's lag":              {s: standby(), name: "standby_lag_bytes n3", none: true},
		"nor of hosts that only pool":               {s: standby(), name: "pooler_clients app1", none: true},
		"but of its own":                            {s: standby(), name: "pooler_clients n2", want: 30},
		"who does not stream":                       {s: primary(), name: "standby_streaming n3"},
		"a witness never does":                      {s: primary(), name: "standby_streaming w1", none: true},
		"one that left the history early": {s: primary(func(s *snapshot.Snapshot) {
			s.View.Local.Instance.History = wal.History{{Timeline: 3, LSN: 0x1000}}
			s.View.Peers[1].Instance.Timeline = 3
		}), name: "standby_lag_bytes n3", want: 0x3000},
		"one that told nothing":                      {s: primary(func(s *snapshot.Snapshot) { s.View.Peers[1].Instance = core.Instance{} }), name: "standby_lag_bytes n3", none: true},
		"async wants nobody's word":                  {s: primary(func(s *snapshot.Snapshot) { s.View.Store.Spec.Durability = spec.DurabilityAsync }), name: "sync_standbys_wanted"},
		"a store with an error":                      {s: primary(func(s *snapshot.Snapshot) { s.View.Store.Err = "no answer" }), name: "store_up"},
		"a store never read has no age":              {s: standby(func(s *snapshot.Snapshot) { s.View.Store = core.StoreView{} }), name: "store_age_seconds", none: true},
		"before the first decision there is no role": {s: snapshot.Snapshot{}, name: "role primary", none: true},
		"a job": {s: standby(func(s *snapshot.Snapshot) { s.View.Local.Job = core.Job{Kind: "clone", Running: true, Percent: 42} }), name: "job_progress_percent clone", want: 42},
		"an operation": {s: primary(func(s *snapshot.Snapshot) {
			s.View.Store.Operation = &core.Operation{Kind: "switchover", Phase: "holding"}
		}), name: "operation_active switchover,holding", want: 1},
		"one that is over": {s: primary(func(s *snapshot.Snapshot) {
			s.View.Store.Operation = &core.Operation{Kind: "switchover", Phase: "done"}
		}), name: "operation_active switchover,done", none: true},
		"without forks there are none": {s: standby(), name: "fork_transactions true"},
	} {
		got, ok := values(t, c.s, "pgherd_")[c.name]
		if got != c.want || ok == c.none {
			t.Errorf("%s: %s is %v (%v), want %v", what, c.name, got, ok, c.want)
		}
	}
}

// TestEverySnapshotCanBeGathered: no combination makes a series twice or with the wrong labels.
func TestEverySnapshotCanBeGathered(t *testing.T) {
	gather(t, snapshot.Snapshot{})
	gather(t, standby(func(s *snapshot.Snapshot) { s.View.Store.Poolers = nil }))
	gather(t, primary(func(s *snapshot.Snapshot) {
		s.Report.Conditions = append(s.Report.Conditions, s.Report.Conditions...)
		s.Cluster, s.Version = "a \"cluster\"", "\n"
	}))
}
