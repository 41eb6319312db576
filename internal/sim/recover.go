package sim

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/rebuild"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
)

// A store that was wiped, and an operator with `pgherd recover`: the real judgement of internal/rebuild over what
// the members have kept, and a model of how the agents carry it out.

// kept is a member's copy of the records. The file is written a moment after a change was seen.
type kept struct {
	view       core.StoreView
	revision   int64
	generation uint64
	at         time.Duration // of the last change that is written
}

const keptLag = 50 * time.Millisecond

// keep takes note of a snapshot that was believed.
func (n *node) keep(v *core.StoreView, revision int64) {
	was, is := n.kept.view.Lease, v.Lease
	same := n.kept.generation == n.generation && was.Term == is.Term && was.Holder == is.Holder && was.Released == is.Released &&
		was.Sync.K == is.Sync.K && slices.Equal(was.Sync.Members, is.Sync.Members) && n.kept.view.SpecRevision == v.SpecRevision
	at := n.kept.at
	if !same {
		n.keptBefore, at = n.kept, n.w.now
	}
	n.kept.view, n.kept.revision, n.kept.generation, n.kept.at = *v, revision, n.generation, at
}

// forgetUnwritten: what was not on disk yet dies with the process.
func (n *node) forgetUnwritten() {
	if n.w.now-n.kept.at < keptLag && n.keptBefore.revision > 0 {
		n.kept = n.keptBefore
	}
}

func (k kept) saved(w *World) *rebuild.Saved {
	if k.revision == 0 {
		return nil
	}
	s := &rebuild.Saved{Generation: k.generation, Revision: k.revision, Entries: map[string]rebuild.Raw{}}
	put := func(key string, record any) { s.Entries[key], _ = json.Marshal(record) }
	put(records.KeyCluster, k.view.Cluster)
	put(records.KeySpec, k.view.Spec)
	if k.view.LeaseRevision > 0 {
		put(records.KeyLease, k.view.Lease)
	}
	for _, m := range k.view.Members {
		put(records.MemberPrefix+m.Name, m)
	}
	if !w.o.External {
		s.Voters = slices.Clone(memberNames[:w.store.voters])
	}
	return s
}

// answers are those of all members that this one reaches.
func (w *World) recoveryAnswers(of *node) map[string]rebuild.Answer {
	all := map[string]rebuild.Answer{}
	for _, n := range w.nodes {
		if n != of && (!n.awake() || !w.store.linked(of.i, n.i)) {
			continue
		}
		a := rebuild.Answer{Name: n.name, Ordinal: n.record.Ordinal, Witness: n.witness, ClusterID: clusterID, Generation: n.generation, Founder: n.founder,
			Share: rebuild.ShareLost, Saved: n.kept.saved(w), Data: n.agent.data, Instance: n.agent.facts(), Term: max(n.agent.report.Term, n.warden.permit.Term)}
		switch {
		case !w.o.External && n.kept.generation < n.generation:
			a.Share = rebuild.ShareRetired
		case w.o.External && w.store.reachable(n):
			a.Share = rebuild.ShareEmpty
		case w.o.External:
			a.Share = rebuild.ShareExternal
		}
		all[n.name] = a
	}
	return all
}

// awake: the agent answers.
func (n *node) awake() bool { return n.down == 0 && n.agent.up && n.agent.group.frozen == 0 }

// recoverStore is tried again and again until the store is there: by an operator who accepts no loss that waiting could
// avert, and says of nobody that he is destroyed.
func (w *World) recoverStore() {
	if !w.store.lost {
		return
	}
	again := func() { w.after(w.between(time.Second, 4*time.Second), w.recoverStore) }
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if !n.awake() || n.founder != "" && n.generation > w.store.generation && w.now-w.askedAt < 20*time.Second {
		again() // or somebody is about to found it
		return
	}
	answers := w.recoveryAnswers(n)
	v := w.judge(answers, rebuild.Records{})
	if v.Refusal != nil || !w.willing(v) {
		w.tell(n, "recover", "refused: %+v, %s", v.Refusal, v.Evidence)
		again()
		return
	}
	w.askedAt = w.now
	n.founding = v.Generation
	w.note(n, "recover", int(v.Generation), "generation %d from the records of %s: %s; %s", v.Generation, v.Source, v.LeaseText, v.Evidence)
	for _, m := range w.nodes {
		if _, ok := answers[m.name]; !ok || m == n {
			continue
		}
		w.after(w.upTo(900*time.Millisecond), func() {
			if m.awake() && w.store.linked(n.i, m.i) && m.generation < v.Generation {
				m.switchTo(v.Generation, n.name)
				return
			}
			delete(answers, m.name) // no answer is no promise
		})
	}
	w.after(time.Second, func() { w.promised(n, answers, v.Generation, v.Seen()) })
	again()
}

func (w *World) judge(answers map[string]rebuild.Answer, seen rebuild.Records) rebuild.Verdict {
	copied := map[string]rebuild.Answer{}
	for name, a := range answers {
		copied[name] = a
	}
	return rebuild.Judge(rebuild.Question{ClusterID: clusterID, External: w.o.External, Seen: seen}, copied)
}

// willing: a loss is accepted under async, which may lose by its name, and when all members answer: nobody is left to wait for.
func (w *World) willing(v rebuild.Verdict) bool {
	silent := slices.ContainsFunc(v.Rows, func(r rebuild.Row) bool { return r.State != "answers" })
	return v.Enough || w.o.Durability == spec.DurabilityAsync && !silent
}

// promised: all have had their time to leave the old store.
func (w *World) promised(n *node, answers map[string]rebuild.Answer, generation uint64, seen rebuild.Records) {
	n.founding = 0
	v := w.judge(answers, seen)
	if v.Refusal != nil || !w.willing(v) || v.Generation != generation || !n.awake() || n.generation >= generation || !w.store.lost {
		w.tell(n, "recover", "given up: %+v", v.Refusal)
		return
	}
	entries, err := v.Records(n.name, "")
	if err != nil {
		w.violate("I10", "records of a recovery: %v", err)
		return
	}
	first, err := rebuild.Saved{Revision: 1, Entries: entries}.View()
	if err != nil {
		w.violate("I10", "records of a recovery: %v", err)
		return
	}
	n.switchTo(generation, n.name)
	w.found2(n, first, generation, v.Wait(answers))
}

// switchTo is agent.switchTo: the file first, then a new process that knows nothing of the old store.
func (n *node) switchTo(generation uint64, founder string) {
	n.w.note(n, "generation", int(generation), "goes over to generation %d, founded by %s", generation, founder)
	switch {
	case founder == "":
		n.previous = nil
	case n.founder == n.name && n.kept.generation < n.generation: // it founds nothing any more
	default:
		n.previous = append(n.previous, promise{n.generation, n.founder})
	}
	n.enter(generation, founder)
	if founder != "" {
		n.w.after(time.Second, n.followFounder)
	}
}

// promise is a store that is left for one that may never come.
type promise struct {
	generation uint64
	founder    string
}

func (n *node) enter(generation uint64, founder string) {
	n.generation, n.founder = generation, founder
	n.foundings++
	if n.agent.up { // else a supervisor starts it, when it does
		n.agent.kill()
		n.agent.start()
	}
}

// followFounder is agent.goBack: the founder says that it does not make the store.
func (n *node) followFounder() {
	w := n.w
	if n.founder == "" || n.founder == n.name || n.kept.generation >= n.generation {
		return
	}
	f := w.byName(n.founder)
	if len(n.previous) > 0 && n.awake() && f.awake() && w.store.linked(n.i, f.i) && f.generation != n.generation && f.founding != n.generation {
		last := n.previous[len(n.previous)-1]
		n.previous = n.previous[:len(n.previous)-1]
		w.note(n, "generation", int(last.generation), "goes back to generation %d: %s makes nothing of %d", last.generation, f.name, n.generation)
		n.enter(last.generation, last.founder)
	}
	w.after(time.Second, n.followFounder)
}

// found2 writes the first records when the founder has run for long enough that no trust in the old store is left.
func (w *World) found2(n *node, first core.StoreView, generation uint64, wait time.Duration) {
	epoch, since, founding := n.agent.group.epoch, w.now, n.foundings
	var try func()
	try = func() {
		s := w.store
		if s.generation >= generation || n.foundings != founding {
			return // it was overtaken
		}
		if n.agent.group.epoch != epoch {
			epoch, since = n.agent.group.epoch, w.now // another process waits anew
		}
		if !n.awake() || w.now-since < wait || s.external && !s.reachable(n) {
			w.after(100*time.Millisecond, try)
			return
		}
		s.rebuild(first, generation)
	}
	try()
}

// rebuild is the new store. Its revisions begin anew.
func (s *storage) rebuild(first core.StoreView, generation uint64) {
	w := s.w
	if l := first.Lease; first.LeaseRevision > 0 && l.Term <= w.lastLease.Term {
		w.violate("I4", "the rebuilt store has term %d, term %d was there before", l.Term, w.lastLease.Term)
	}
	s.records, s.generation, s.lost, s.revision = first, generation, false, 20
	s.records.Known, s.records.ClusterRevision, s.records.SpecRevision = false, 11, 12
	if first.LeaseRevision > 0 {
		s.records.LeaseRevision = 13
	}
	s.requests, s.old = make([]*core.Request, w.o.Members), nil
	w.note(nil, "rebuilt", int(first.Lease.Term), "generation %d: term %d of %s, commits on any %d of %v", generation, first.Lease.Term, first.Lease.Holder, first.Lease.Sync.K, first.Lease.Sync.Members)
	w.keptOn(first.Lease.Sync)
	s.changed()
}

// lease is the last that was written, whether or not the store still knows it.
func (w *World) lease() core.LeaseRecord {
	if w.store.lost {
		return w.lastLease
	}
	return w.store.records.Lease
}
