package metrics

import (
	"strconv"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/wal"
)

// patroni are the metrics of Patroni's GET /metrics under its names, types and labels, so that boards and alerts
// that were written for it work. Where a word of Patroni's has no meaning here the value is the one that a
// Patroni without that feature gives, and the help says so.
var patroni = []family{
	of("patroni_version", gauge, "Version of pgherd, which answers in Patroni's place, without periods.",
		func(s *Snapshot) float64 { return padded(s.Version) }),
	of("patroni_postgres_running", gauge, "Value is 1 if Postgres is running, 0 otherwise.",
		func(s *Snapshot) float64 { return one(s.running()) }),
	of("patroni_postmaster_start_time", gauge, "Epoch seconds since Postgres started.",
		func(s *Snapshot) float64 {
			if !s.running() {
				return 0
			}
			return float64(s.instance().StartedAt) / 1000
		}),
	of("patroni_primary", gauge, "Value is 1 if this node is the leader and accepts writes, 0 otherwise.",
		func(s *Snapshot) float64 { return one(s.yes("/primary")) }),
	of("patroni_xlog_location", counter, "Current location of the Postgres transaction log, 0 if this node is not the leader.",
		func(s *Snapshot) float64 { return s.bytes(s.running() && s.instance().Primary, s.instance().WriteLSN) }),
	of("patroni_standby_leader", gauge, "Value is 1 if this node is the standby_leader: 0 here, there are no standby clusters.",
		func(*Snapshot) float64 { return 0 }),
	of("patroni_replica", gauge, "Value is 1 if this node is a replica, 0 otherwise.",
		func(s *Snapshot) float64 { return one(s.standby()) }),
	of("patroni_sync_standby", gauge, "Value is 1 if commits may wait for this standby, 0 otherwise; as patroni_quorum_standby.",
		func(s *Snapshot) float64 { return one(s.yes("/sync")) }),
	of("patroni_quorum_standby", gauge, "Value is 1 if this node is a quorum standby, 0 otherwise.",
		func(s *Snapshot) float64 { return one(s.yes("/quorum")) }),
	of("patroni_xlog_received_location", counter, "Current location of the received Postgres transaction log, 0 if this node is not a replica.",
		func(s *Snapshot) float64 { return s.bytes(s.standby(), s.instance().ReceivedLSN) }),
	of("patroni_xlog_replayed_location", counter, "Current location of the replayed Postgres transaction log, 0 if this node is not a replica.",
		func(s *Snapshot) float64 { return s.bytes(s.standby(), s.instance().ReplayLSN) }),
	of("patroni_xlog_replayed_timestamp", gauge, "Current timestamp of the replayed Postgres transaction log, 0 if null.",
		func(s *Snapshot) float64 {
			if !s.standby() {
				return 0
			}
			return seconds(s.Server.ReplayedAt)
		}),
	of("patroni_xlog_paused", gauge, "Value is 1 if the replay of the Postgres xlog is paused, 0 otherwise.",
		func(s *Snapshot) float64 { return one(s.standby() && s.Server.ReplayPaused) }),
	of("patroni_postgres_streaming", gauge, "Value is 1 if Postgres is streaming, 0 otherwise.",
		func(s *Snapshot) float64 { return one(s.standby() && s.instance().Streaming) }),
	of("patroni_postgres_in_archive_recovery", gauge, "Value is 1 if Postgres is replicating from archive, 0 otherwise.",
		func(s *Snapshot) float64 { return one(s.standby() && !s.instance().Streaming && s.Server.Archive) }),
	of("patroni_postgres_server_version", gauge, "Version of Postgres (if running), 0 otherwise.",
		func(s *Snapshot) float64 {
			if !s.running() {
				return 0
			}
			return float64(s.Server.Version)
		}),
	of("patroni_cluster_unlocked", gauge, "Value is 1 if the cluster is unlocked (nobody holds the lease), 0 if locked.",
		func(s *Snapshot) float64 {
			l := s.View.Store.Lease
			return one(!s.View.Store.Known || l.Holder == "" || l.Released || s.Vacant)
		}),
	of("patroni_failsafe_mode_is_active", gauge, "Value is 1 if this primary goes on by the word of all others while the store is silent, 0 otherwise.",
		func(s *Snapshot) float64 { return one(s.raised(core.CondFailsafe)) }),
	of("patroni_postgres_timeline", counter, "Postgres timeline of this node (if running), 0 otherwise.",
		func(s *Snapshot) float64 {
			if !s.running() {
				return 0
			}
			return float64(s.instance().Timeline)
		}),
	of("patroni_dcs_last_seen", gauge, "Epoch timestamp when the store was last read successfully.",
		func(s *Snapshot) float64 { return s.epoch(s.View.Store.ReadAt) }),
	of("patroni_pending_restart", gauge, "Value is 1 if the node needs a restart, 0 otherwise.",
		func(s *Snapshot) float64 { return one(len(s.instance().Pending) > 0) }),
	of("patroni_is_paused", gauge, "Value is 1 if auto failover is disabled, 0 otherwise.",
		func(s *Snapshot) float64 { return one(s.View.Store.Paused) }),
	of("patroni_postgres_state", gauge, "Numeric representation of Postgres state: 0=initdb, 4=creating_replica, 5=running, 6=starting, 11=stopping, 12=stopped, 14=crashed, -1=unknown.", postgresState),
}

func of(name, kind, help string, value func(*Snapshot) float64) family {
	return family{Family{Name: name, Type: kind, Help: help}, single(value)}
}

func (s *Snapshot) bytes(so bool, lsn wal.LSN) float64 {
	if !so {
		return 0
	}
	return float64(lsn)
}

// postgresState gives Patroni's number of the state (PostgresqlState in its postgresql/misc.py; the numbers never change).
func postgresState(s *Snapshot) float64 {
	l := &s.View.Local
	if l.Job.Running {
		switch core.StepKind(l.Job.Kind) {
		case core.StepInit:
			return 0
		case core.StepClone, core.StepRewind:
			return 4
		}
	}
	switch l.Instance.State {
	case core.StateRunning:
		if s.running() {
			return 5
		}
	case core.StateStarting:
		return 6
	case core.StateStopping:
		return 11
	case core.StateStopped:
		if l.Warden.ExitText != "" {
			return 14
		}
		return 12
	}
	return -1
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
