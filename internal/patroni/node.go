package patroni

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/wal"
)

// Roles in Patroni's words. A quorum standby is one that commits may wait for.
const (
	rolePrimary = "primary"
	roleLeader  = "leader"
	roleReplica = "replica"
	roleQuorum  = "quorum_standby"
)

const (
	streaming = "streaming"
	archive   = "in archive recovery"
)

// Node is GET /patroni: this member. The health answers carry it too, for who may see it.
type Node struct {
	State               string            `json:"state"`
	PostmasterStartTime string            `json:"postmaster_start_time,omitempty"` // 2026-11-28 08:00:00.000000+00:00
	Role                string            `json:"role"`                            // primary or replica: what PostgreSQL is, whoever leads
	ServerVersion       int               `json:"server_version,omitempty"`        // 150014 for 15.14
	Xlog                map[string]any    `json:"xlog,omitempty"`                  // positions in bytes from 0/0
	QuorumStandby       bool              `json:"quorum_standby,omitempty"`
	Timeline            wal.Timeline      `json:"timeline,omitempty"`
	ReplicationState    string            `json:"replication_state,omitempty"`
	Replication         []Sender          `json:"replication,omitempty"`
	Pause               bool              `json:"pause,omitempty"`
	ClusterUnlocked     bool              `json:"cluster_unlocked,omitempty"`
	FailsafeIsActive    bool              `json:"failsafe_mode_is_active,omitempty"`
	DCSLastSeen         int64             `json:"dcs_last_seen"` // epoch seconds
	Tags                map[string]any    `json:"tags,omitempty"`
	SystemIdentifier    string            `json:"database_system_identifier,omitempty"`
	PendingRestart      bool              `json:"pending_restart,omitempty"`
	ScheduledRestart    *ScheduledRestart `json:"scheduled_restart,omitempty"`
	WatchdogFailed      bool              `json:"watchdog_failed,omitempty"`
	Patroni             Identity          `json:"patroni"`
	Pgherd              struct {
		Version string `json:"version"`
	} `json:"pgherd"` // who really answers
}

// Identity says whose API this is.
type Identity struct {
	Version string `json:"version"`
	Scope   string `json:"scope"` // the cluster's name
	Name    string `json:"name"`
}

// Sender is one line of pg_stat_replication, of another member.
type Sender struct {
	ApplicationName string `json:"application_name"`
	ClientAddr      string `json:"client_addr"`
	State           string `json:"state"`
	SyncPriority    int    `json:"sync_priority"`
	SyncState       string `json:"sync_state"` // quorum or async
	Usename         string `json:"usename"`
}

// ScheduledRestart is a restart that waits for its time.
type ScheduledRestart struct {
	Schedule string `json:"schedule"` // RFC 3339
}

const replicator = "pgherd_replicator" // whom standbys connect as

// NodeOf is this member's.
func NodeOf(s *snapshot.Snapshot) Node {
	i := s.Instance()
	n := Node{
		State: StateOf(s).Word, Role: roleReplica,
		Pause: s.View.Store.Paused, ClusterUnlocked: s.Vacancy(), FailsafeIsActive: s.Raised(core.CondFailsafe),
		Tags: tagsOf(s.View.Store, s.View.Self), SystemIdentifier: i.SystemID, PendingRestart: len(i.Pending) > 0,
		ScheduledRestart: scheduledRestart(s.View.Store.Operation, s.View.Self),
		WatchdogFailed:   s.Raised(core.CondUnwatched),
		Patroni:          Identity{Version, s.Cluster, s.View.Self},
	}
	n.Pgherd.Version = s.Version
	if seen := s.At(s.View.Store.ReadAt); !seen.IsZero() {
		n.DCSLastSeen = seen.Unix()
	}
	if i.Primary || s.Leads() {
		n.Role = rolePrimary
	}
	if s.Running() {
		n.of(s)
	}
	return n
}

// of adds what only a server that answers can tell.
func (n *Node) of(s *snapshot.Snapshot) {
	i := s.Instance()
	n.PostmasterStartTime = stamp(time.UnixMilli(i.StartedAt))
	n.ServerVersion, n.Timeline = s.Server.Version, i.Timeline
	if i.Primary {
		n.Role = rolePrimary
		n.Xlog = map[string]any{"location": int64(i.WriteLSN)}
		n.Replication = senders(&s.View)
		return
	}
	n.Role, n.QuorumStandby, n.ReplicationState = roleReplica, s.Yes("/quorum"), replicationState(i)
	n.Xlog = map[string]any{"received_location": int64(i.ReceivedLSN), "replayed_location": int64(i.ReplayLSN),
		"replayed_timestamp": nil, "paused": s.Server.ReplayPaused}
	if !s.Server.ReplayedAt.IsZero() {
		n.Xlog["replayed_timestamp"] = stamp(s.Server.ReplayedAt)
	}
}

func replicationState(i *core.Instance) string {
	if i.Streaming {
		return streaming
	}
	return archive
}

// stamp is a time as Python prints one.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000-07:00") }

func senders(v *core.View) (list []Sender) {
	i := &v.Local.Instance
	for _, sender := range i.Senders {
		line := Sender{ApplicationName: sender.Member, State: "catchup", SyncState: "async", Usename: replicator}
		if sender.Streaming {
			line.State = streaming
		}
		if slices.Contains(i.SyncNames, sender.Member) {
			line.SyncState, line.SyncPriority = "quorum", 1
		}
		for _, m := range v.Store.Members {
			if m.Name == sender.Member {
				line.ClientAddr = m.Address
			}
		}
		list = append(list, line)
	}
	return list
}

// tagsOf are the member's, those alone that differ from what everybody has. A drained member is to have no role.
func tagsOf(v core.StoreView, name string) map[string]any {
	tags := map[string]any{}
	for _, m := range v.Members {
		if m.Name != name {
			continue
		}
		for tag, set := range map[string]bool{"nofailover": m.Tags.NoFailover, "nosync": m.Tags.NoSync, "noloadbalance": slices.Contains(v.Drained, name)} {
			if set {
				tags[tag] = true
			}
		}
		if m.Tags.Priority != 0 {
			tags["failover_priority"] = m.Tags.Priority
		}
		if m.Tags.Zone != "" {
			tags["zone"] = m.Tags.Zone
		}
	}
	return tags
}

func scheduledRestart(o *core.Operation, name string) *ScheduledRestart {
	if o == nil || o.Phase != core.PhaseScheduled || o.Kind != core.OpRestart || !slices.Contains(o.Queue, name) {
		return nil
	}
	return &ScheduledRestart{at(o)}
}

func at(o *core.Operation) string { return time.UnixMilli(o.AtMS).UTC().Format(time.RFC3339) }
