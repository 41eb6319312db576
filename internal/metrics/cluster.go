package metrics

import (
	"slices"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/spec"
)

// ownOfCluster say how the cluster is, as this member sees it: most are alike on all of them, and a member that is cut
// off shows what it knew last (pgherd_store_age_seconds tells).
var ownOfCluster = []family{
	plain("pgherd_term", "", "Term of the newest lease that is known; it grows by one with each change of leadership.",
		func(s *snapshot.Snapshot) float64 { return float64(s.View.Store.Lease.Term) }),
	yes("pgherd_lease_held", "Value is 1 if a member holds the lease, as far as is known here, 0 otherwise.",
		func(s *snapshot.Snapshot) bool {
			l := s.View.Store.Lease
			return s.View.Store.Known && l.Holder != "" && !l.Released && !s.Vacant
		}),
	plain("pgherd_lease_trusted_seconds", "seconds", "For how long this member may go on as primary if no renewal succeeds; 0 where the lease is another's.",
		func(s *snapshot.Snapshot) float64 {
			if !s.Leads() {
				return 0
			}
			return max(0, s.Report.Trusted.Sub(s.Now).Seconds())
		}),
	yes("pgherd_store_up", "Value is 1 if the store answered when it was read last, 0 otherwise.",
		func(s *snapshot.Snapshot) bool { return s.View.Store.Known && s.View.Store.Err == "" }),
	labelled("pgherd_store_age_seconds", "seconds", "How long ago the last successful read of the store was sent; none before the first.", nil,
		func(s *snapshot.Snapshot, give give) {
			if s.View.Store.ReadAt != 0 {
				give(s.Ago(s.View.Store.ReadAt))
			}
		}),
	yes("pgherd_paused", "Value is 1 while the cluster is paused, 0 otherwise.", func(s *snapshot.Snapshot) bool { return s.View.Store.Paused }),
	plain("pgherd_members", "members", "Members of the cluster, witnesses included.",
		func(s *snapshot.Snapshot) float64 { return float64(len(s.View.Store.Members)) }),
	plain("pgherd_members_reachable", "members", "Those that answered this member within 3 s, itself included.", func(s *snapshot.Snapshot) float64 {
		n := 1.0
		for _, p := range s.View.Peers {
			n += one(snapshot.Reachable(p))
		}
		return n
	}),
	plain("pgherd_sync_set_members", "members", "Standbys that commits may wait for (n of `any k of n`).",
		func(s *snapshot.Snapshot) float64 { return float64(len(s.View.Store.Lease.Sync.Members)) }),
	plain("pgherd_sync_set_required", "members", "How many of them confirm each commit (k).",
		func(s *snapshot.Snapshot) float64 { return float64(s.View.Store.Lease.Sync.K) }),
	plain("pgherd_sync_standbys_wanted", "members", "How many the spec asks for (sync_standbys); 0 with durability async.",
		func(s *snapshot.Snapshot) float64 {
			if c := s.View.Store.Spec; c.Durability == spec.DurabilitySync {
				return float64(c.SyncStandbys)
			}
			return 0
		}),
	labelled("pgherd_standby_lag_bytes", "bytes", "On the primary: how far each other member's flushed WAL is behind; of one that does not stream, since what it told last. None where that is not known.", []string{"standby"},
		func(s *snapshot.Snapshot, give give) { lags(s, give, false) }),
	labelled("pgherd_standby_replay_lag_bytes", "bytes", "On the primary: how far what a streaming standby's readers see is behind.", []string{"standby"},
		func(s *snapshot.Snapshot, give give) { lags(s, give, true) }),
	labelled("pgherd_standby_streaming", "", "On the primary: 1 if the member streams from it, 0 otherwise.", []string{"standby"},
		func(s *snapshot.Snapshot, give give) {
			for _, m := range others(s) {
				_, ok := sender(s, m.Name)
				give(one(ok), m.Name)
			}
		}),
	plain("pgherd_losses_open", "takeovers", "Takeovers that may have lost acknowledged commits, and whose former primary is not back to tell.",
		func(s *snapshot.Snapshot) float64 { return float64(len(s.View.Store.Lease.Lost)) }),
	plain("pgherd_losses_open_bytes", "bytes", "WAL that their former primaries had published and the new ones did not have; what they wrote after that is not known.",
		func(s *snapshot.Snapshot) float64 {
			sum := int64(0)
			for _, l := range s.View.Store.Lease.Lost {
				sum += lostBytes(l)
			}
			return float64(sum)
		}),
	kept("pgherd_forks", "forks", "Saved forks on this member: WAL that only it had when it rejoined.", func(k snapshot.Kept) float64 { return float64(k.Forks) }),
	kept("pgherd_fork_bytes", "bytes", "WAL in them.", func(k snapshot.Kept) float64 { return float64(k.Bytes) }),
	kept("pgherd_fork_transactions", "transactions", "Committed transactions in them: with acked=\"true\" clients may have been told of them, and they are lost to the cluster.", func(k snapshot.Kept) float64 { return float64(k.Transactions) }),
	labelled("pgherd_operation_active", "", "Value is 1 for the operation under way.", []string{"kind", "phase"},
		func(s *snapshot.Snapshot, give give) {
			if op := s.View.Store.Operation; op.Active() {
				give(1, op.Kind, op.Phase)
			}
		}),
	pooler("pgherd_pooler_clients", "clients", "Clients of a host's two endpoints, as it told last.", func(_ *snapshot.Snapshot, p core.Pooler) float64 { return float64(p.Clients) }),
	pooler("pgherd_pooler_held_clients", "clients", "Clients that are held there for a handover.", func(_ *snapshot.Snapshot, p core.Pooler) float64 {
		if h := p.Hold; h != nil && (h.State == core.HoldHolding || h.State == core.HoldHeld) {
			return float64(h.Clients)
		}
		return 0
	}),
	pooler("pgherd_pooler_leads", "", "Value is 1 if the read-write endpoint sends to a primary, 0 if its clients wait.", func(_ *snapshot.Snapshot, p core.Pooler) float64 { return one(p.Target != "") }),
	pooler("pgherd_pooler_readers", "members", "Members that the read-only endpoint sends to.", func(_ *snapshot.Snapshot, p core.Pooler) float64 { return float64(len(p.Readers)) }),
	pooler("pgherd_pooler_silent_seconds", "seconds", "How long ago the host told something new; it does each 10 s.", func(s *snapshot.Snapshot, p core.Pooler) float64 { return s.Ago(p.SeenAt) }),
}

// others are the members that could stream from this one, if it is the primary.
func others(s *snapshot.Snapshot) (list []core.MemberRecord) {
	if !s.Leads() || !s.Running() || !s.Instance().Primary {
		return nil
	}
	for _, m := range s.View.Store.Members {
		if m.Name != s.View.Self && !m.Witness {
			list = append(list, m)
		}
	}
	return list
}

// sender is the WAL sender of a standby that streams. (One that has just broken off may be there twice.)
func sender(s *snapshot.Snapshot, name string) (found core.Sender, ok bool) {
	for _, one := range s.Instance().Senders {
		if one.Member == name && one.Streaming && (!ok || one.FlushLSN > found.FlushLSN) {
			found, ok = one, true
		}
	}
	return found, ok
}

func lags(s *snapshot.Snapshot, give give, replay bool) {
	i := s.Instance()
	for _, m := range others(s) {
		if sent, ok := sender(s, m.Name); ok {
			at := sent.FlushLSN
			if replay {
				at = sent.ReplayLSN
			}
			give(float64(max(0, i.WriteLSN.Sub(at))), m.Name)
			continue
		}
		at := slices.IndexFunc(s.View.Peers, func(p core.Peer) bool { return p.Name == m.Name })
		if replay || at < 0 {
			continue
		}
		// What a member has of another history counts as far as the two go along with each other.
		if p := s.View.Peers[at]; p.Known && p.Instance.Position().LSN != 0 {
			has := min(p.Instance.Position().LSN, p.Instance.History.Parting(p.Instance.Timeline, i.History, i.Timeline))
			give(float64(max(0, i.WriteLSN.Sub(has))), m.Name)
		}
	}
}

// lostBytes is what of a loss is known: what the old primary had published, less what the new one had.
func lostBytes(l core.Loss) int64 { return max(0, l.To.Sub(l.From.LSN)) }

func kept(name, unit, help string, value func(snapshot.Kept) float64) family {
	return labelled(name, unit, help, []string{"acked"}, func(s *snapshot.Snapshot, give give) {
		sums := map[bool]float64{}
		for _, k := range s.Kept {
			sums[k.Acked] += value(k)
		}
		give(sums[false], "false")
		give(sums[true], "true")
	})
}

// pooler is told of by the member of its host, or by the primary where only a pooler runs: a sum over all members
// counts each once.
func pooler(name, unit, help string, value func(*snapshot.Snapshot, core.Pooler) float64) family {
	return labelled(name, unit, help, []string{"pooler"}, func(s *snapshot.Snapshot, give give) {
		for _, p := range s.View.Store.Poolers {
			member := slices.ContainsFunc(s.View.Store.Members, func(m core.MemberRecord) bool { return m.Name == p.Name })
			if p.Name == s.View.Self || !member && s.Leads() {
				give(value(s, p), p.Name)
			}
		}
	})
}
