package patroni

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/health"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

const now = core.Instant(time.Hour)

var wall = time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)

// primary is n1, which leads n2 and n3; n3 has not been heard for a while, w1 is a witness.
func primary(change ...func(*snapshot.Snapshot)) *snapshot.Snapshot {
	s := &snapshot.Snapshot{Facts: health.Facts{Now: now, Decided: now.Add(-time.Second)}, Wall: wall, Cluster: "main", Version: "1.2.3",
		Server: snapshot.Server{Version: 150014}}
	v := &s.View
	v.Self = "n1"
	v.Store = core.StoreView{Known: true, ReadAt: now.Add(-2 * time.Second)}
	v.Store.Lease = core.LeaseRecord{Holder: "n1", Term: 7, LSN: 0x4000, TTL: spec.Duration(5 * time.Second), Sync: core.SyncSet{Members: []string{"n2"}, K: 1}}
	v.Store.Members = []core.MemberRecord{
		{Name: "n1", Address: "10.0.0.1", APIPort: 7432, PGPort: 5432, Tags: spec.Tags{Zone: "a"}},
		{Name: "w1", Witness: true},
		{Name: "n3", Address: "10.0.0.3", APIPort: 7432, PGPort: 5433, Tags: spec.Tags{NoFailover: true, NoSync: true, Priority: 3}},
		{Name: "n2", Address: "10.0.0.2", APIPort: 7432, PGPort: 5432},
	}
	v.Local.Instance = core.Instance{State: core.StateRunning, Primary: true, StartedAt: wall.Add(-time.Hour).UnixMilli(), Timeline: 4, WriteLSN: 0x5000,
		SystemID: "77", SyncNames: []string{"n2"}, Senders: []core.Sender{{Member: "n2", Streaming: true}, {Member: "n3"}}}
	v.Peers = []core.Peer{
		{Name: "n2", Known: true, Instance: core.Instance{State: core.StateRunning, Streaming: true, Timeline: 4, ReceivedLSN: 0x4f00, ReplayLSN: 0x4e00, Pending: []string{"max_connections"}}},
		{Name: "n3", Known: true, Age: time.Minute, Instance: core.Instance{State: core.StateRunning, Streaming: true, Timeline: 4, ReceivedLSN: 0x2000}},
		{Name: "w1", Known: true},
	}
	s.Report.Trusted = now.Add(3 * time.Second)
	for _, c := range change {
		c(s)
	}
	return s
}

func standby(change ...func(*snapshot.Snapshot)) *snapshot.Snapshot {
	return primary(append([]func(*snapshot.Snapshot){func(s *snapshot.Snapshot) {
		s.View.Self = "n2"
		s.View.Local.Instance = core.Instance{State: core.StateRunning, Streaming: true, Timeline: 4, StartedAt: wall.UnixMilli(), ReceivedLSN: 0x4f00, ReplayLSN: 0x4e00}
		s.View.Peers[0] = core.Peer{Name: "n1", Known: true, Instance: core.Instance{State: core.StateRunning, Primary: true, Timeline: 4, WriteLSN: 0x5000}}
		s.Server.ReplayedAt = wall.Add(-1500 * time.Millisecond)
	}}, change...)...)
}

// is compares a document with JSON, whatever the order of its fields.
func is(t *testing.T, what string, document any, want string) {
	t.Helper()
	data, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	got, _ := json.Marshal(a)
	sorted, _ := json.Marshal(b)
	if string(got) != string(sorted) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, got, sorted)
	}
}

func TestNode(t *testing.T) {
	is(t, "the primary", NodeOf(primary()), `{
		"state": "running", "postmaster_start_time": "2026-11-28 07:00:00.000000+00:00", "role": "primary", "server_version": 150014,
		"xlog": {"location": 20480}, "timeline": 4, "dcs_last_seen": 1795852798, "database_system_identifier": "77", "tags": {"zone": "a"},
		"replication": [
			{"application_name": "n2", "client_addr": "10.0.0.2", "state": "streaming", "sync_priority": 1, "sync_state": "quorum", "usename": "pgherd_replicator"},
			{"application_name": "n3", "client_addr": "10.0.0.3", "state": "catchup", "sync_priority": 0, "sync_state": "async", "usename": "pgherd_replicator"}],
		"patroni": {"version": "4.1.4", "scope": "main", "name": "n1"}, "pgherd": {"version": "1.2.3"}}`)
	is(t, "a standby", NodeOf(standby()), `{
		"state": "running", "postmaster_start_time": "2026-11-28 08:00:00.000000+00:00", "role": "replica", "server_version": 150014,
		"xlog": {"received_location": 20224, "replayed_location": 19968, "replayed_timestamp": "2026-11-28 07:59:58.500000+00:00", "paused": false},
		"quorum_standby": true, "timeline": 4, "replication_state": "streaming", "dcs_last_seen": 1795852798,
		"patroni": {"version": "4.1.4", "scope": "main", "name": "n2"}, "pgherd": {"version": "1.2.3"}}`)
	is(t, "one that has just begun", NodeOf(&snapshot.Snapshot{Cluster: "main"}), `{
		"state": "unknown", "role": "replica", "cluster_unlocked": true, "dcs_last_seen": 0,
		"patroni": {"version": "4.1.4", "scope": "main", "name": ""}, "pgherd": {"version": ""}}`)
	is(t, "all that may be wrong or wanted", NodeOf(primary(func(s *snapshot.Snapshot) {
		v := &s.View
		v.Local.Instance = core.Instance{State: core.StateStopped, Pending: []string{"port"}}
		v.Local.Warden.ExitText = "signal: killed"
		v.Store.Paused, v.Store.Drained, v.Store.Lease.Released = true, []string{"n1"}, true
		v.Store.Operation = &core.Operation{Kind: core.OpRestart, Phase: core.PhaseScheduled, Queue: []string{"n1"}, AtMS: wall.UnixMilli()}
		s.Report.Conditions = []core.Condition{{Code: core.CondFailsafe}, {Code: core.CondUnwatched}}
	})), `{
		"state": "crashed", "role": "replica", "pause": true, "cluster_unlocked": true, "failsafe_mode_is_active": true, "dcs_last_seen": 1795852798,
		"tags": {"zone": "a", "noloadbalance": true}, "pending_restart": true, "scheduled_restart": {"schedule": "2026-11-28T08:00:00Z"}, "watchdog_failed": true,
		"patroni": {"version": "4.1.4", "scope": "main", "name": "n1"}, "pgherd": {"version": "1.2.3"}}`)
}

func TestCluster(t *testing.T) {
	members := func(leader, quorum string) string {
		return `{"scope": "main", "members": [
			{"name": "n1", "role": "` + leader + `", "state": "running", "api_url": "https://10.0.0.1:7432/patroni", "host": "10.0.0.1", "port": 5432, "timeline": 4, "tags": {"zone": "a"}},
			{"name": "n2", "role": "` + quorum + `", "state": "streaming", "api_url": "https://10.0.0.2:7432/patroni", "host": "10.0.0.2", "port": 5432, "timeline": 4, "pending_restart": true,
				"receive_lsn": "0/4F00", "receive_lag": 256, "replay_lsn": "0/4E00", "replay_lag": 512, "lsn": "0/4F00", "lag": 256},
			{"name": "n3", "role": "replica", "state": "unknown", "api_url": "https://10.0.0.3:7432/patroni", "host": "10.0.0.3", "port": 5433,
				"tags": {"nofailover": true, "nosync": true, "failover_priority": 3},
				"receive_lsn": "unknown", "receive_lag": "unknown", "replay_lsn": "unknown", "replay_lag": "unknown", "lsn": "unknown", "lag": "unknown"}]`
	}
	is(t, "as the primary sees it", ClusterOf(primary()), members("leader", "quorum_standby")+"}")
	is(t, "as a standby sees it", ClusterOf(standby(func(s *snapshot.Snapshot) { s.View.Local.Instance.Pending = []string{"max_connections"} })), members("leader", "quorum_standby")+"}")
	is(t, "planned and paused", ClusterOf(primary(func(s *snapshot.Snapshot) {
		s.View.Store.Paused = true
		s.View.Store.Operation = &core.Operation{Kind: core.OpSwitchover, Phase: core.PhaseScheduled, From: "n1", To: "n2", AtMS: wall.UnixMilli()}
	})), members("leader", "quorum_standby")+`, "pause": true, "scheduled_switchover": {"at": "2026-11-28T08:00:00Z", "from": "n1", "to": "n2"}}`)
	is(t, "nothing known", ClusterOf(&snapshot.Snapshot{Cluster: "main"}), `{"scope": "main", "members": []}`)

	for _, m := range ClusterOf(standby(func(s *snapshot.Snapshot) { s.Vacant = true })).Members {
		if m.Role == roleLeader {
			t.Errorf("%s leads with a lease that ran out", m.Name)
		}
	}
}

func TestHistory(t *testing.T) {
	h := wal.History{{Timeline: 1, LSN: 0x1000}, {Timeline: 3, LSN: 0x2000}}
	opened := []Opened{{3, wall, "n2"}, {9, wall, "n9"}}
	is(t, "history", HistoryOf(h, 5, opened), `[
		[1, 4096, "no recovery target specified", "2026-11-28T08:00:00.000000+00:00", "n2"],
		[3, 8192, "no recovery target specified"]]`)
	is(t, "none", HistoryOf(nil, 1, opened), `[]`)
}
