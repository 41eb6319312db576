package metrics

import (
	"strconv"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/patroni"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/wal"
)

// patronis are the metrics of Patroni's GET /metrics under its names, types and labels, so that boards and alerts
// that were written for it work. Where a word of Patroni's has no meaning here the value is the one that a
// Patroni without that feature gives, and the help says so.
var patronis = []family{
	of("patroni_version", gauge, "Version of Patroni whose metrics and documents these are, without periods; pgherd_info has pgherd's.",
		func(s *snapshot.Snapshot) float64 { return padded(patroni.Version) }),
	of("patroni_postgres_running", gauge, "Value is 1 if Postgres is running, 0 otherwise.",
		func(s *snapshot.Snapshot) float64 { return one(s.Running()) }),
	of("patroni_postmaster_start_time", gauge, "Epoch seconds since Postgres started.",
		func(s *snapshot.Snapshot) float64 {
			if !s.Running() {
				return 0
			}
			return float64(s.Instance().StartedAt) / 1000
		}),
	of("patroni_primary", gauge, "Value is 1 if this node is the leader and accepts writes, 0 otherwise.",
		func(s *snapshot.Snapshot) float64 { return one(s.Yes("/primary")) }),
	of("patroni_xlog_location", counter, "Current location of the Postgres transaction log, 0 if this node is not the leader.",
		func(s *snapshot.Snapshot) float64 {
			return bytes(s.Running() && s.Instance().Primary, s.Instance().WriteLSN)
		}),
	of("patroni_standby_leader", gauge, "Value is 1 if this node is the standby_leader: 0 here, there are no standby clusters.",
		func(*snapshot.Snapshot) float64 { return 0 }),
	of("patroni_replica", gauge, "Value is 1 if this node is a replica, 0 otherwise.",
		func(s *snapshot.Snapshot) float64 { return one(s.Standby()) }),
	of("patroni_sync_standby", gauge, "Value is 1 if commits may wait for this standby, 0 otherwise; as patroni_quorum_standby.",
		func(s *snapshot.Snapshot) float64 { return one(s.Yes("/sync")) }),
	of("patroni_quorum_standby", gauge, "Value is 1 if this node is a quorum standby, 0 otherwise.",
		func(s *snapshot.Snapshot) float64 { return one(s.Yes("/quorum")) }),
	of("patroni_xlog_received_location", counter, "Current location of the received Postgres transaction log, 0 if this node is not a replica.",
		func(s *snapshot.Snapshot) float64 { return bytes(s.Standby(), s.Instance().ReceivedLSN) }),
	of("patroni_xlog_replayed_location", counter, "Current location of the replayed Postgres transaction log, 0 if this node is not a replica.",
		func(s *snapshot.Snapshot) float64 { return bytes(s.Standby(), s.Instance().ReplayLSN) }),
	of("patroni_xlog_replayed_timestamp", gauge, "Current timestamp of the replayed Postgres transaction log, 0 if null.",
		func(s *snapshot.Snapshot) float64 {
			if !s.Standby() {
				return 0
			}
			return seconds(s.Server.ReplayedAt)
		}),
	of("patroni_xlog_paused", gauge, "Value is 1 if the replay of the Postgres xlog is paused, 0 otherwise.",
		func(s *snapshot.Snapshot) float64 { return one(s.Standby() && s.Server.ReplayPaused) }),
	of("patroni_postgres_streaming", gauge, "Value is 1 if Postgres is streaming, 0 otherwise.",
		func(s *snapshot.Snapshot) float64 { return one(s.Standby() && s.Instance().Streaming) }),
	of("patroni_postgres_in_archive_recovery", gauge, "Value is 1 if Postgres is replicating from archive, 0 otherwise.",
		func(s *snapshot.Snapshot) float64 {
			return one(s.Standby() && !s.Instance().Streaming && s.Server.Archive)
		}),
	of("patroni_postgres_server_version", gauge, "Version of Postgres (if running), 0 otherwise.",
		func(s *snapshot.Snapshot) float64 {
			if !s.Running() {
				return 0
			}
			return float64(s.Server.Version)
		}),
	of("patroni_cluster_unlocked", gauge, "Value is 1 if the cluster is unlocked (nobody holds the lease), 0 if locked.",
		func(s *snapshot.Snapshot) float64 { return one(s.Vacancy()) }),
	of("patroni_failsafe_mode_is_active", gauge, "Value is 1 if this primary goes on by the word of all others while the store is silent, 0 otherwise.",
		func(s *snapshot.Snapshot) float64 { return one(s.Raised(core.CondFailsafe)) }),
	of("patroni_postgres_timeline", counter, "Postgres timeline of this node (if running), 0 otherwise.",
		func(s *snapshot.Snapshot) float64 {
			if !s.Running() {
				return 0
			}
			return float64(s.Instance().Timeline)
		}),
	of("patroni_dcs_last_seen", gauge, "Epoch timestamp when the store was last read successfully.",
		func(s *snapshot.Snapshot) float64 { return seconds(s.At(s.View.Store.ReadAt)) }),
	of("patroni_pending_restart", gauge, "Value is 1 if the node needs a restart, 0 otherwise.",
		func(s *snapshot.Snapshot) float64 { return one(len(s.Instance().Pending) > 0) }),
	of("patroni_is_paused", gauge, "Value is 1 if auto failover is disabled, 0 otherwise.",
		func(s *snapshot.Snapshot) float64 { return one(s.View.Store.Paused) }),
	of("patroni_postgres_state", gauge, "Numeric representation of Postgres state: 0=initdb, 4=creating_replica, 5=running, 6=starting, 11=stopping, 12=stopped, 14=crashed, -1=unknown.",
		func(s *snapshot.Snapshot) float64 { return float64(patroni.StateOf(s).Number) }),
}

func of(name, kind, help string, value func(*snapshot.Snapshot) float64) family {
	return family{Family{Name: name, Type: kind, Help: help}, single(value)}
}

func bytes(so bool, lsn wal.LSN) float64 {
	if !so {
		return 0
	}
	return float64(lsn)
}

// padded makes a number of a version as Patroni does: 1.2.3 is 010203. What is no release is 0.
func padded(version string) float64 {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	parts := strings.Split(version, ".")
	if len(parts) != 3 {
		return 0
	}
	sum := 0
	for _, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 || n > 99 {
			return 0
		}
		sum = sum*100 + n
	}
	return float64(sum)
}
