package main

// mutant is a deliberate fault in the code that guards the data, as an edit of source: the
// simulator is worth what it finds of them. A survivor is a missing fault in the
// simulator. An edit whose text is not there exactly once is an error, so that none of
// them rots.
type mutant struct {
	name, why string
	edits     []edit
}

type edit struct{ file, old, new string }

const (
	candidate = "internal/core/candidate.go"
	lease     = "internal/core/lease.go"
	syncRules = "internal/core/sync.go"
	crash     = "internal/core/crash.go"
	quorum    = "internal/core/quorum.go"
	rejoin    = "internal/core/rejoin.go"
	handover  = "internal/core/handover.go"
	decide    = "internal/core/decide.go"
	ill       = "internal/core/ill.go"
	ledger    = "internal/trust/ledger.go"
	guard     = "internal/trust/guard.go"
	permit    = "internal/trust/permit.go"
	watchdog  = "internal/trust/watchdog.go"
	vouch     = "internal/trust/vouch.go"
	simVouch  = "internal/sim/vouch.go"
	judge     = "internal/rebuild/judge.go"
	simSteps  = "internal/sim/steps.go"
	simServer = "internal/sim/postgres.go"
	simWarden = "internal/sim/warden.go"
	simStore  = "internal/sim/storage.go"
	simJobs   = "internal/sim/jobs.go"
	evidence  = "internal/core/evidence.go"
)

// rare are mutants that need more seeds than others, with the faults without which they do no harm: rarer times as many are drawn,
// and only those are run in which they come.
var rare = map[string]string{
	"forgets-its-vote":      "kill_voters",
	"recover-over-a-quorum": "wipe_store",
}

const rarer = 10

var mutants = []mutant{
	// Who may lead.
	{"highest-visible", "promotes the highest LSN that it happens to see: no R + W > N", []edit{{candidate, "if n < set.mustHear() {", "if false {"}}},
	{"order-by-lsn", "compares candidates by LSN alone, not by (timeline, LSN)", []edit{{"internal/wal/wal.go", "if c := cmp.Compare(p.Timeline, q.Timeline); c != 0 {", "if c := 0; c != 0 {"}}},
	{"empty-set-permits", "an empty sync set lets anybody lead", []edit{{candidate, "\t\td.say(\"only_holder\", \"commits of term %d may exist on %s only\", d.lease.Term, d.lease.Holder)\n\t\treturn false", "\t\treturn true"}}},
	{"receiver-still-runs", "a voter counts although it may still confirm commits of the old primary", []edit{{candidate, "if d.inst.Receiver || !settled {", "if (d.inst.Receiver || !settled) && false {"}, {candidate, " && !p.Instance.Receiver", ""}}},
	{"forgets-its-vote", "an agent that was started anew follows a holder against whom it may have voted", []edit{{rejoin, "\treturn d.v.Store.LeaseFirst\n", "\treturn false\n"}}},
	{"old-votes-count", "a voter's word counts however old it is, and about an earlier beat of the lease", []edit{{candidate, "if fresh(p) && p.Vacant && same &&", "if p.Known && p.Vacant && (same || true) &&"}}},
	{"hears-who-is-not-vacant", "a voter counts that still follows the old primary, by the last word it said", []edit{{candidate, "if fresh(p) && p.Vacant && same &&", "if p.Known && (same || true) &&"}}},
	{"expires-early", "takes a lease that has not been silent for its whole ttl, and nobody looks again before the write", []edit{{candidate, "expires := d.v.Store.LeaseSeenAt.Add(d.timing().TTL.D())", "expires := d.v.Store.LeaseSeenAt.Add(d.timing().TTL.D() / 2)"}, {vouch, "if l.known.LeaseRevision != 0 && !lease.Released && now < l.known.LeaseSeenAt.Add(lease.TTL.D()) {", "if lease.TTL < 0 {"}}},
	{"lag-unbounded", "async: a member beyond max_lag leads", []edit{{candidate, "!d.synchronous() && lag > d.spec.MaxLagBytes {", "!d.synchronous() && lag > 1<<40 {"}}},
	{"lag-by-number", "async: how far a member is behind is told by the numbers of another history", []edit{{candidate, "d.lease.LSN.Sub(d.lease.shared(i).LSN)", "d.lease.LSN.Sub(i.Position().LSN)"}}},
	{"one-timeline-number", "a promotion takes the number that PostgreSQL would take", []edit{{candidate, "return max(d.lease.Timeline, d.inst.Timeline) + 1", "return d.inst.Timeline + 1"}}},
	{"new-lease-claims-all", "a new lease says that every standby has everything", []edit{{candidate, "p.Instance.Standby() && has(p) {", "p.Instance.Standby() {"}}},

	// The lease and the fence.
	{"stale-reply-wins", "an older reply of the store overwrites newer knowledge", []edit{{ledger, "if revision < l.newest {", "if false {"}}},
	{"trust-from-reply", "trust is counted from the reply, not from the send time", []edit{{ledger, "= lease.Term, sent", "= lease.Term, now"}, {simSteps, "trust.Until(sent, *s.Lease)", "trust.Until(n.clock(), *s.Lease)"}}},
	{"no-fence-when-paused", "the warden has no deadline: a frozen agent is not fenced", []edit{{permit, "return p.Deadline != 0 && now >= p.Deadline", "return false"}}},
	{"margin-forgotten", "PostgreSQL may live for a ttl and more after the renewal", []edit{{guard, "return sent.Add(l.TTL.D() - l.Margin.D())", "return sent.Add(l.TTL.D() + l.Margin.D())"}, {decide, "return sent.Add(d.timing().TTL.D() - d.timing().Margin.D())", "return sent.Add(d.timing().TTL.D() + d.timing().Margin.D())"}}},
	{"no-compare-and-swap", "the lease is written whatever its revision is", []edit{{simStore, "if ok = s.next(&r.LeaseRevision, step.Expect); ok {", "if ok = s.next(&r.LeaseRevision, r.LeaseRevision); ok {"}}},
	{"lease-not-checked-again", "a promotion and a start check neither trust, nor guard, nor the warden's arming again", []edit{
		{lease, "\tif !d.trusted() && !d.beginsTerm() {\n", "\tif false {\n"},
		{guard, "if g.Deadline != 0 && now >= g.Deadline {", "if false {"},
		{guard, "if g.Term != 0 && seen > g.Term {", "if false {"},
		{permit, "if deadline <= now {", "if false {"},
		{permit, "return p.Deadline != 0 && now >= p.Deadline", "return p.Deadline != 0 && now >= p.Deadline && now < p.Deadline"}}},
	{"postmaster-only", "the fence kills the postmaster and not the backends", []edit{{simWarden, "// backends die one by one\n\t\td.n.pg.halt()\n", "\n\t\td.group.after(18*time.Second, d.n.pg.halt)\n"}}},
	{"released-while-running", "an agent that is told to stop gives the lease back before PostgreSQL has stopped", []edit{{lease, "\tif d.v.Local.Warden.Alive && d.v.Local.Warden.Empty {\n\t\td.release(because(\"stopped\"", "\tif d.v.Local.Warden.Alive {\n\t\td.release(because(\"stopped\""}}},
	{"shorter-ttl-at-once", "a shorter ttl in the spec counts before the holder's trust is used up", []edit{{lease, "if want.TTL < now.TTL || want.TTL-want.Margin < now.TTL-now.Margin {", "if false {"}}},
	{"fence-forgotten", "a member that accepts writes without a lease is left alone, by the agent and by the warden", []edit{{rejoin, "\tif !d.mayWrite() {\n\t\treturn false", "\tif true {\n\t\treturn false"}, {permit, "return p.Deadline != 0 && now >= p.Deadline", "return false"}}},
	{"watchdog-fed-past-deadline", "the watchdog is fed as long as the warden runs, whatever it cannot kill", []edit{{watchdog, "if now > last && !empty {", "if false {"}}},
	{"watchdog-disarmed-by-the-fence", "the watchdog is disarmed when the warden begins to kill, not when nothing is left", []edit{{watchdog, "case p.Armed || empty: ", "default: "}}},
	{"watchdog-too-late", "the watchdog is fed until it fires only after others may lead", []edit{{watchdog, "w.By = p.Deadline.Add(p.Margin / 2)", "w.By = p.Deadline.Add(4 * p.Margin)"}}},
	{"required-watchdog-ignored", "a member whose watchdog is required becomes primary without", []edit{{"internal/core/watchdog.go", "if !w.Required || w.State == WatchdogActive {\n\t\treturn false", "if w.State == w.State {\n\t\treturn false"}}},

	// Failsafe: a primary without the store.
	{"silence-is-consent", "a member that does not answer counts as one that vouches", []edit{{simVouch, "finish(errSilent)", "finish(nil)"}}},
	{"one-word-is-enough", "the first member that vouches is enough", []edit{{simVouch, "if open--; err != nil || open == 0 {", "if open--; err == nil || open == 0 {"}}},
	{"word-without-promise", "a member vouches and stands for election as before", []edit{{vouch, "	l.known.LeaseSeenAt = max(l.known.LeaseSeenAt, now)\n", ""}}},

	// What commits wait for.
	{"widened-before-observed", "the lease promises a standby before it was seen to have everything", []edit{{syncRules, "needsProof(r, p, want) && d.switchedOn(r) && d.proven(want)", "needsProof(r, p, want)"}}},
	{"switch-not-awaited", "commits count as kept before the checkpointer has turned waiting on", []edit{{syncRules, "&& d.switchedOn(r) && d.proven(want)", "&& d.proven(want)"}}},
	{"measured-by-an-old-read", "what standbys must have is measured by facts from before commits waited", []edit{{syncRules, "d.mem.Proof.On = d.v.Local.ReadAt >= j.EndedAt", "d.mem.Proof.On = true"}}},
	{"shrinks-postgres-first", "PostgreSQL waits for fewer before the lease says so", []edit{{quorum, "return SyncSet{Members: r.Members, K: want.K}, p", "return r, want"}}},
	{"grows-postgres-first", "PostgreSQL waits for a member that the lease does not know", []edit{{quorum, "return SyncSet{Members: union(r.Members, want.Members), K: r.K}, p", "return r, want"}}},
	{"empties-postgres-first", "PostgreSQL stops waiting while the lease still promises", []edit{{quorum, "\t\treturn SyncSet{}, p\n\tcase needs", "\t\treturn r, want\n\tcase needs"}}},
	{"proof-of-another-set", "proof that the wanted set has everything counts while PostgreSQL still waits for another", []edit{{quorum, "return p.same(want) && !r.same(want)", "return !r.same(want)"}}},
	{"ignores-zones", "commits are kept on whoever confirms first, in the primary's own failure domain too", []edit{{syncRules, "return m.Tags.Zone != \"\" && m.Tags.Zone == h.Tags.Zone", "return m.Tags.Zone != \"\" && m.Tags.Zone == h.Tags.Zone && false"}}},
	{"no-hold-after-crash", "clients get in as soon as a crashed primary is up again, and read what no standby has", []edit{{crash, "c.Hold = d.hold()", "c.Hold = d.hold() && false"}}},
	{"hold-lifted-early", "clients get in before enough standbys have what recovery has made visible", []edit{{crash, "if d.inst.confirmed(set) >= d.mem.HoldLSN {", "if d.inst.confirmed(set) > 0 || d.mem.HoldLSN > 0 {"}}},
	{"promoted-again-with-its-set", "a holder that served reads is promoted in its own term, and its set may still lead without it", []edit{{"internal/core/primary.go", "len(d.lease.Sync.Members) > 0 && d.wroteBefore()", "false"}}},
	{"hold-of-crashes-only", "clients get in after a clean stop that no standby has received", []edit{{crash, "|| d.having(set, d.receivedShutdown) < set.K", ""}}},
	{"cancels-waiting", "a demotion cancels sessions, which acknowledges what they waited for", []edit{{simServer, "p.state, p.waiting = core.StateStopping, nil", "for _, c := range p.waiting {\n\t\tp.acknowledge(c)\n\t}\n\tp.state, p.waiting = core.StateStopping, nil"}}},

	// Operations and coming back.
	{"handover-without-proof", "the lease is handed over before the candidate has the shutdown checkpoint", []edit{{handover, "return p.Instance.Timeline == d.inst.CheckpointTimeline && p.Instance.Position().LSN > d.inst.Checkpoint", "return true"}}},
	{"shut-down-means-stopped", "the control file's word counts also for a server that starts", []edit{{lease, "return d.inst.Control == \"shut down\" && (d.ended() || d.inst.State == StateStopping)", "return d.inst.Control == \"shut down\""}}},
	{"handover-to-unproven", "a handover's set is of members that may lack commits, where the old primary is none of them", []edit{{handover, "d.having(set, d.receivedShutdown)+1 >= set.K && slices.Contains(set.Members, d.v.Self)", "true"}}},
	{"handover-before-stop", "the lease is handed over while the old primary still runs", []edit{{handover, "\tif !d.cleanlyStopped() {\n", "\tif false {\n"}}},
	{"deletes-the-only-copy", "data without a leader is replaced by a copy of whoever answers", []edit{{candidate, "\td.start(true, d.standbyConf(\"\"), because(\"stand\"", "\tfor _, p := range d.v.Peers {\n\t\tif fresh(p) && p.Instance.Standby() {\n\t\t\td.job(Step{Kind: StepClone, Member: p.Name, ID: \"x\"})\n\t\t\treturn\n\t\t}\n\t}\n\td.start(true, d.standbyConf(\"\"), because(\"stand\""}}},
	{"primary-reinitialised", "a request to reinitialise is obeyed by the primary", []edit{{rejoin, "if d.holds() && r.Kind == RequestReinit {", "if false {"}}},
	{"never-rewinds", "diverged data is started as it is", []edit{{rejoin, "\tcase last >= fork:\n", "\tcase false:\n"}}},
	{"rewinds-before-saving", "a rewind replaces the data before the WAL that only this member has is saved", []edit{{simJobs, "a.saving(s.Fork, func() { a.rewind(source, end) }, end)", "a.rewind(source, func(err string) { a.saving(s.Fork, func() { end(err) }, end) })"}}},
	{"forgets-the-fork", "what only this member has counts as the primary's when its timeline is no part of the primary's history", []edit{{evidence, "\tif mine == 0 || at ==", "\tif mine == 0 || at == 0 || at =="}}},
	{"prunes-aside-at-once", "what was set aside and saved is dropped before the data in its place has streamed", []edit{{evidence, " || !d.inst.Streaming && !d.inst.Primary {", " {"}}},
	{"loss-unsaid", "an async failover does not say that it may lose commits", []edit{{candidate, "if d.lease.Holder != \"\" && !d.hasAll(d.heard()) &&", "if false &&"}}},
	{"empty-holder-stays", "a holder that has lost its data keeps the lease", []edit{{lease, "\td.release(because(\"no_data\"", "\td.say(\"no_data\", \"x\")\n\treturn\n\td.release(because(\"no_data\""}}},
	{"pause-ignored", "a paused cluster is acted upon", []edit{{decide, "case d.v.Store.Paused && !d.v.Stopping:", "case false:"}}},
	// Health by a write.
	{"hung-primary-keeps-lease", "a primary that cannot write is not given up", []edit{{ill, "\tif code == \"\" || d.inst.State", "\tif true || code == \"\" || d.inst.State"}}},
	{"fences-without-successor", "a hung primary is killed although nobody can take over", []edit{{ill, "\tcase !ok || d.storeSilent(): // without the store nobody can\n", "\tcase !ok && false:\n"}}},
	{"unwell-candidate-leads", "a member whose disk refuses stands for election", []edit{{candidate, "d.unwatched() || d.report.Unwell && !d.forced()", "d.unwatched()"}}},
	{"renews-while-unkillable", "the lease is renewed over processes that outlive SIGKILL", []edit{{lease, "\tif d.unkillable() {\n", "\tif false {\n"}}},
	{"no-damping", "each member of a cluster of slow disks gives the lease up as soon as the first", []edit{{ill, "limit<<max(0, min(d.lease.Flaps, 6))", "limit"}}},

	{"recover-reuses-term", "a rebuilt store begins with the newest term that is known", []edit{{judge, "j.v.Term+1+skipped, j.v.Timeline+1+skipped", "j.v.Term, j.v.Timeline+1+skipped"}}},
	{"recover-from-old-records", "a store is rebuilt from the oldest records that anybody has", []edit{{"internal/rebuild/answer.go", "return s.Revision > than.Revision", "return s.Revision < than.Revision"}}},
	{"recover-over-a-quorum", "a store is rebuilt although those who have not left it are a quorum", []edit{{judge, "if n := intersect(j.silent, voters); len(n) >= majority {", "if n := intersect(j.silent, voters); false {"}, {judge, "case j.mayHave:", "case false:"}}},
	{"says-nothing", "a holder whose PostgreSQL does not come up gives no reason", []edit{{crash, "\td.say(\"waiting_for_postgres\", \"PostgreSQL is %s%s\", d.inst.State, d.inst.recoveryText(waited))\n", ""}}},
}
