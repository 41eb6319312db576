package patroni

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/wal"
)

// Cluster is GET /cluster. Witnesses are not in it: to Patroni they are part of the store.
type Cluster struct {
	Members             []Member    `json:"members"` // sorted by name
	Pause               bool        `json:"pause,omitempty"`
	ScheduledSwitchover *Switchover `json:"scheduled_switchover,omitempty"`
	Scope               string      `json:"scope"`
}

// Member is one line of it. Lags are bytes, or "unknown", behind what is known of the leader; a leader has none.
type Member struct {
	Name             string            `json:"name"`
	Role             string            `json:"role"`  // leader, quorum_standby or replica
	State            string            `json:"state"` // of a standby that runs: streaming, or in archive recovery
	APIURL           string            `json:"api_url"`
	Host             string            `json:"host"`
	Port             int               `json:"port"`
	Timeline         wal.Timeline      `json:"timeline,omitempty"`
	PendingRestart   bool              `json:"pending_restart,omitempty"`
	ScheduledRestart *ScheduledRestart `json:"scheduled_restart,omitempty"`
	Tags             map[string]any    `json:"tags,omitempty"`
	ReceiveLSN       any               `json:"receive_lsn,omitempty"`
	ReceiveLag       any               `json:"receive_lag,omitempty"`
	ReplayLSN        any               `json:"replay_lsn,omitempty"`
	ReplayLag        any               `json:"replay_lag,omitempty"`
	LSN              any               `json:"lsn,omitempty"`
	Lag              any               `json:"lag,omitempty"`
}

// Switchover is one that waits for its time.
type Switchover struct {
	At   string `json:"at"` // RFC 3339
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// said is what a member told last; Known is false if that is too old to speak for now.
type said struct {
	known    bool
	instance core.Instance
	state    State
}

// ClusterOf is the cluster as this member sees it.
func ClusterOf(s *snapshot.Snapshot) Cluster {
	store := &s.View.Store
	c := Cluster{Members: []Member{}, Pause: store.Paused, Scope: s.Cluster}
	words := wordsOf(s)
	for _, m := range store.Members {
		if !m.Witness {
			c.Members = append(c.Members, memberOf(s, m, words))
		}
	}
	slices.SortFunc(c.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	if o := store.Operation; o != nil && o.Phase == core.PhaseScheduled && o.Kind == core.OpSwitchover {
		c.ScheduledSwitchover = &Switchover{at(o), o.From, o.To}
	}
	return c
}

func wordsOf(s *snapshot.Snapshot) map[string]said {
	words := map[string]said{s.View.Self: {true, *s.Instance(), StateOf(s)}}
	for _, p := range s.View.Peers {
		if snapshot.Reachable(p) {
			words[p.Name] = said{true, p.Instance, stateOf(p.Instance.State, p.Job)}
		}
	}
	return words
}

func memberOf(s *snapshot.Snapshot, m core.MemberRecord, words map[string]said) Member {
	store, word := &s.View.Store, words[m.Name]
	out := Member{
		Name: m.Name, Role: roleReplica, State: unknown.Word,
		APIURL: "https://" + net.JoinHostPort(m.Address, strconv.Itoa(m.APIPort)) + "/patroni",
		Host:   m.Address, Port: m.PGPort,
		Tags: tagsOf(*store, m.Name), ScheduledRestart: scheduledRestart(store.Operation, m.Name),
	}
	leads := m.Name == store.Lease.Holder && !s.Vacancy()
	switch {
	case leads:
		out.Role = roleLeader
	case slices.Contains(store.Lease.Sync.Members, m.Name) && !store.Lease.Released:
		out.Role = roleQuorum
	}
	if word.known {
		out.State, out.Timeline, out.PendingRestart = word.state.Word, word.instance.Timeline, len(word.instance.Pending) > 0
		if word.state == running && !word.instance.Primary {
			out.State = replicationState(&word.instance)
		}
	}
	if !leads {
		newest := max(store.Lease.LSN, words[store.Lease.Holder].instance.WriteLSN)
		out.lags(word.instance, newest)
	}
	return out
}

func (m *Member) lags(i core.Instance, newest wal.LSN) {
	behind := func(lsn wal.LSN) (any, any) {
		if lsn == 0 {
			return "unknown", "unknown"
		}
		return lsn, max(0, newest.Sub(lsn))
	}
	m.ReceiveLSN, m.ReceiveLag = behind(i.ReceivedLSN)
	m.ReplayLSN, m.ReplayLag = behind(i.ReplayLSN)
	m.LSN, m.Lag = behind(i.Position().LSN)
}
