package metrics

import (
	"slices"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/snapshot"
)

// ownOfMember say how this member and its server are.
var ownOfMember = []family{
	labelled("pgherd_info", "", "Always 1; which version answers.", []string{"version"},
		func(s *snapshot.Snapshot, give give) { give(1, s.Version) }),
	labelled("pgherd_role", "", "Value is 1 for what this member is to be: primary, standby or witness.", []string{"role"},
		func(s *snapshot.Snapshot, give give) {
			if s.Report.Role != "" { // it has not decided yet
				give(1, s.Report.Role)
			}
		}),
	yes("pgherd_primary", "Value is 1 while a client that connects now can commit here, 0 otherwise.",
		func(s *snapshot.Snapshot) bool { return s.Yes("/primary") }),
	plain("pgherd_decision_age_seconds", "seconds", "How long ago the loop looked and decided.",
		func(s *snapshot.Snapshot) float64 { return s.Ago(s.Decided) }),
	yes("pgherd_postgres_up", "Value is 1 if PostgreSQL here runs and answers, 0 otherwise; always 0 on a witness.", (*snapshot.Snapshot).Running),
	plain("pgherd_timeline", "", "PostgreSQL's timeline; also of stopped data, where it is known.",
		func(s *snapshot.Snapshot) float64 { return float64(s.Instance().Timeline) }),
	plain("pgherd_wal_position_bytes", "bytes", "Up to where this member has WAL: a primary's flushed, a standby's received. A rewind turns it back.",
		func(s *snapshot.Snapshot) float64 { return float64(s.Instance().Position().LSN) }),
	plain("pgherd_replay_backlog_bytes", "bytes", "WAL that a standby has received and not replayed.",
		func(s *snapshot.Snapshot) float64 {
			return float64(max(0, s.Instance().ReceivedLSN.Sub(s.Instance().ReplayLSN)))
		}),
	yes("pgherd_streaming", "Value is 1 if this standby streams, 0 otherwise.",
		func(s *snapshot.Snapshot) bool { return s.Standby() && s.Instance().Streaming }),
	plain("pgherd_connections", "connections", "Sessions of applications at PostgreSQL.",
		func(s *snapshot.Snapshot) float64 { return float64(s.Instance().Sessions) }),
	plain("pgherd_connections_max", "connections", "How many there can be.",
		func(s *snapshot.Snapshot) float64 { return float64(s.Instance().SessionsMax) }),
	plain("pgherd_checksum_failures", "pages", "Pages that were read with a wrong checksum, as PostgreSQL's statistics have it.",
		func(s *snapshot.Snapshot) float64 { return float64(s.Instance().Corrupt) }),
	plain("pgherd_pending_restart_settings", "settings", "Settings that wait for a restart.",
		func(s *snapshot.Snapshot) float64 { return float64(len(s.Instance().Pending)) }),
	yes("pgherd_warden_up", "Value is 1 if the process that guards PostgreSQL answers, 0 otherwise; always 0 on a witness.",
		func(s *snapshot.Snapshot) bool { return s.View.Local.Warden.Alive }),
	yes("pgherd_watchdog_active", "Value is 1 while a hardware watchdog counts behind the warden, 0 otherwise.",
		func(s *snapshot.Snapshot) bool { return s.View.Local.Warden.Watchdog.State == core.WatchdogActive }),
	yes("pgherd_clients_held", "Value is 1 while the primary keeps clients out after a start in place, 0 otherwise.",
		func(s *snapshot.Snapshot) bool { return s.View.Local.Held }),
	plain("pgherd_commit_seconds", "seconds", "What a commit of one row takes on this primary, the newest counting most; 0 on others.",
		func(s *snapshot.Snapshot) float64 { return s.View.Local.Probe.Took.Seconds() }),
	plain("pgherd_commit_stalled_seconds", "seconds", "For how long none of those commits has succeeded.",
		func(s *snapshot.Snapshot) float64 { return stalled(s.View.Local.Probe, s.Now) }),
	labelled("pgherd_volume_free_bytes", "bytes", "Space left on the volumes of data and WAL, and on that of state_dir where it has its own.", []string{"volume"},
		func(s *snapshot.Snapshot, give give) { volumes(s, give, func(r core.Room) int64 { return r.Free }) }),
	labelled("pgherd_volume_size_bytes", "bytes", "Size of the volumes.", []string{"volume"},
		func(s *snapshot.Snapshot, give give) { volumes(s, give, func(r core.Room) int64 { return r.Size }) }),
	labelled("pgherd_job_running", "", "Value is 1 for the long work under way here: init, clone, rewind or checkpoint.", []string{"job"},
		func(s *snapshot.Snapshot, give give) {
			if j := s.View.Local.Job; j.Running {
				give(1, j.Kind)
			}
		}),
	labelled("pgherd_job_progress_percent", "percent", "How far it is.", []string{"job"},
		func(s *snapshot.Snapshot, give give) {
			if j := s.View.Local.Job; j.Running {
				give(float64(j.Percent), j.Kind)
			}
		}),
	labelled("pgherd_condition", "conditions", "How many conditions of a code this member raises now; a code that it does not raise has no series.", []string{"code", "severity"}, conditions),
}

// conditions has a series for each code that is raised: there are some fifty codes, and each has one severity.
func conditions(s *snapshot.Snapshot, give give) {
	count := map[core.Code]float64{}
	for _, c := range s.Report.Conditions {
		count[c.Code]++
	}
	for _, c := range s.Report.Conditions {
		if n := count[c.Code]; n > 0 {
			delete(count, c.Code)
			give(n, string(c.Code), string(c.Severity))
		}
	}
}

func volumes(s *snapshot.Snapshot, give give, bytes func(core.Room) int64) {
	d := s.View.Local.Disk
	if d.Data.Size != 0 {
		give(float64(bytes(d.Data)), "data")
	}
	if d.WAL.Size != 0 {
		give(float64(bytes(d.WAL)), "wal")
	}
	if d.State.Size != 0 {
		give(float64(bytes(d.State)), "state")
	}
}

func stalled(p core.Probe, now core.Instant) float64 { return max(0, p.Open(now)).Seconds() }

func labelled(name, unit, help string, labels []string, read func(*snapshot.Snapshot, give)) family {
	return family{Family{Name: name, Type: gauge, Labels: labels, Unit: unit, Help: help}, read}
}

func plain(name, unit, help string, value func(*snapshot.Snapshot) float64) family {
	return labelled(name, unit, help, nil, single(value))
}

func yes(name, help string, is func(*snapshot.Snapshot) bool) family {
	return labelled(name, "", help, nil, truth(is))
}

// ownFamilies are all of our gauges.
var ownFamilies = slices.Concat(ownOfMember, ownOfCluster)
