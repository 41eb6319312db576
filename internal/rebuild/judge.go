package rebuild

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/wal"
)

// skipped is how many terms and timelines are left out. Those who are gone may have used some, and a write
// whose sender never heard of it may have landed in the old store: seen by nobody, it is a term all the same.
const skipped = 10

// Question is what the operator asks for.
type Question struct {
	ClusterID  string   `json:"-"`
	External   bool     `json:"-"`
	Confirm    string   `json:"confirm,omitempty"` // the cluster's name; empty: only look
	Leader     string   `json:"leader,omitempty"`
	Destroyed  []string `json:"destroyed,omitempty"`
	AcceptLoss bool     `json:"accept_loss,omitempty"`

	// Seen are the newest records that a judgement just before saw. Who has them may have gone silent since: what
	// they say was so all the same, and nothing older may be gone by.
	Seen Records `json:"-"`
}

// Records are saved records, and whose.
type Records struct {
	Source string
	Saved  Saved
}

// Refusal is why nothing is done.
type Refusal struct {
	Code string `json:"code"`
	Text string `json:"text"`
	Hint string `json:"hint"`
}

// Row is one member in the verdict.
type Row struct {
	Name     string       `json:"name"`
	State    string       `json:"state"` // answers, silent or destroyed
	Share    Share        `json:"share,omitempty"`
	Records  string       `json:"records,omitempty"` // when the newest that it has were written down
	Term     uint64       `json:"term,omitempty"`
	Data     string       `json:"data,omitempty"`
	Server   string       `json:"server,omitempty"` // PostgreSQL's state
	Control  string       `json:"control,omitempty"`
	Position wal.Position `json:"position,omitzero"`
	SystemID string       `json:"system_id,omitempty"`
}

// Verdict is what can be done, and what it would cost.
type Verdict struct {
	Cluster    string   `json:"cluster"`
	Rows       []Row    `json:"members"`
	Source     string   `json:"source,omitempty"` // whose records are the newest
	LeaseText  string   `json:"lease,omitempty"`
	Furthest   string   `json:"furthest,omitempty"`
	Enough     bool     `json:"enough"` // no acknowledged commit can be missing
	Evidence   string   `json:"evidence"`
	Leader     string   `json:"leader,omitempty"` // the only one that may lead; empty: the usual election
	Generation uint64   `json:"generation,omitempty"`
	Term       uint64   `json:"term,omitempty"`
	Timeline   uint64   `json:"timeline,omitempty"`
	Poolers    []string `json:"poolers,omitempty"` // hosts that only pool, as the newest records know them
	Refusal    *Refusal `json:"refusal,omitempty"`

	Members []core.MemberRecord `json:"-"` // of the newest records
	Voters  []string            `json:"-"` // who may be part of an old quorum
	newest  Saved
	// destroyed are no members of the new store.
	destroyed []string
	view      core.StoreView
	lost      []core.Loss // what members who answer have and the leader has not
}

// Seen is what the next judgement is to know of this one.
func (v Verdict) Seen() Records { return Records{v.Source, v.newest} }

// judge is one judgement under way.
type judge struct {
	q       Question
	answers map[string]Answer
	v       Verdict
	gone    []string // members that do not answer, destroyed or not
	silent  []string // of those, the ones that may come back
	mayHave bool     // those who are gone may have gone on without the others
}

// Judge gives the verdict. It refuses for the first reason that it finds.
func Judge(q Question, answers map[string]Answer) Verdict {
	j := &judge{q: q, answers: answers}
	for _, check := range []func() *Refusal{j.records, j.members, j.answering, j.quorum, j.position, j.evidence, j.confirm} {
		if r := check(); r != nil {
			j.v.Refusal = r
			break
		}
	}
	return j.v
}

func refusal(code, hint, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// each gives the answers of this cluster, by name.
func (j *judge) each() (list []Answer) {
	for _, name := range slices.Sorted(maps.Keys(j.answers)) {
		if a := j.answers[name]; a.ClusterID == j.q.ClusterID {
			list = append(list, a)
		}
	}
	return list
}

// records finds the newest that anybody has kept.
func (j *judge) records() *Refusal {
	if view, err := j.q.Seen.Saved.View(); j.q.Seen.Source != "" && err == nil {
		j.v.newest, j.v.view, j.v.Source = j.q.Seen.Saved, view, j.q.Seen.Source
	}
	for _, a := range j.each() {
		if a.Saved == nil || j.v.Source != "" && !a.Saved.newer(j.v.newest) {
			continue
		}
		if view, err := a.Saved.View(); err == nil && view.Cluster.ID == j.q.ClusterID {
			j.v.newest, j.v.view, j.v.Source = *a.Saved, view, a.Name
		}
	}
	if j.v.Source == "" {
		return refusal("no_records", "start the agents of the other members, then repeat; each keeps a copy in STATE_DIR/records.json",
			"no member that answers has a copy of the cluster's records")
	}
	j.v.Cluster, j.v.Members = j.v.view.Cluster.Name, j.v.view.Members
	j.v.LeaseText = leaseText(j.v.view)
	j.v.Poolers = j.v.newest.names(records.PoolerHostPrefix)
	return nil
}

func leaseText(v core.StoreView) string {
	l := v.Lease
	switch {
	case v.LeaseRevision == 0:
		return "nobody has led yet"
	case len(l.Sync.Members) == 0:
		return fmt.Sprintf("term %d of %s, commits on %s only", l.Term, l.Holder, l.Holder)
	}
	return fmt.Sprintf("term %d of %s, commits on %s and %d of %s", l.Term, l.Holder, l.Holder, l.Sync.K, strings.Join(l.Sync.Members, ", "))
}

// members tells who answers, who is silent and who is destroyed, and fills the table.
func (j *judge) members() *Refusal {
	known := func(name string) bool {
		return slices.ContainsFunc(j.v.Members, func(m core.MemberRecord) bool { return m.Name == name })
	}
	for _, m := range j.v.Members {
		a, ok := j.answers[m.Name]
		if ok && a.ClusterID == j.q.ClusterID && a.Ordinal == m.Ordinal {
			j.v.Rows = append(j.v.Rows, row(a))
			continue
		}
		delete(j.answers, m.Name) // what answers there is another member
		state := "destroyed"
		if slices.Contains(j.q.Destroyed, m.Name) {
			j.v.destroyed = append(j.v.destroyed, m.Name)
		}
		j.gone = append(j.gone, m.Name)
		if !slices.Contains(j.q.Destroyed, m.Name) {
			j.silent, state = append(j.silent, m.Name), "silent"
		}
		j.v.Rows = append(j.v.Rows, Row{Name: m.Name, State: state})
	}
	for _, name := range j.q.Destroyed {
		if !known(name) {
			return refusal("no_such_member", "the table lists the members", "no member is called %q", name)
		}
		if _, ok := j.answers[name]; ok {
			return refusal("not_destroyed", "leave it out of --destroyed", "%s is named as destroyed, but it answers", name)
		}
	}
	return nil
}

func row(a Answer) Row {
	r := Row{Name: a.Name, State: "answers", Share: a.Share, Term: a.Term, Data: string(a.Data.State), Position: a.Position(),
		Server: string(a.Instance.State), Control: a.Instance.Control, SystemID: a.Data.SystemID}
	if a.Witness {
		r.Data, r.Server = "witness", ""
	}
	if a.Saved != nil {
		r.Records = a.Saved.SavedAt
	}
	return r
}

// answering: a store that answers anywhere is not lost.
func (j *judge) answering() *Refusal {
	for _, a := range j.each() {
		switch {
		case a.Share == ShareAnswers:
			return refusal("store_answers", "`pgherd status` on "+a.Name+"; a member that cannot reach the store needs its network repaired, not a new store",
				"the store answers at %s: nothing is lost", a.Name)
		case j.q.External && a.Share != ShareEmpty:
			return refusal("store_silent", "bring the external store back, empty if need be, or correct store.endpoints; then repeat",
				"the external store does not answer at %s: whether it is empty is not known", a.Name)
		}
	}
	return nil
}

// quorum: nobody who may come back may be able to serve as a second store beside the new one.
func (j *judge) quorum() *Refusal {
	first := core.Voters(j.v.Members)
	j.v.Generation = j.v.newest.Generation + 1
	for _, a := range j.each() {
		j.v.Generation = max(j.v.Generation, a.Generation+1)
		if _, ok := j.answers[a.Founder]; a.Generation > j.v.newest.Generation && a.Founder != "" && !ok && !slices.Contains(j.q.Destroyed, a.Founder) {
			return refusal("founder_silent", j.destroyHint([]string{a.Founder}), "%s may have rebuilt the store already (generation %d), and does not answer", a.Founder, a.Generation)
		}
	}
	if j.q.External {
		if len(j.silent) > 0 {
			return refusal("members_silent", j.destroyHint(j.silent), "%s may still reach a store that is not lost", strings.Join(j.silent, ", "))
		}
		return nil
	}
	for _, voters := range [][]string{j.v.newest.Voters, first} {
		if len(voters) == 0 {
			continue
		}
		majority := len(voters)/2 + 1
		if n := intersect(j.silent, voters); len(n) >= majority {
			return refusal("silent_quorum", j.destroyHint(j.silent), "%s do not answer: %d of %d voters would be a quorum of the old store", strings.Join(n, ", "), len(n), len(voters))
		}
		if n := intersect(j.intact(), voters); len(n) >= majority {
			return refusal("store_intact", "let these members reach each other at their store and peer ports; the store answers then by itself",
				"%s have their shares of the store, and are a quorum: nothing is lost", strings.Join(n, ", "))
		}
		j.mayHave = j.mayHave || len(intersect(j.gone, voters)) >= majority
	}
	j.v.Voters = union(j.v.newest.Voters, first)
	return nil
}

// intact are those who answer and still have their share.
func (j *judge) intact() (names []string) {
	for _, a := range j.each() {
		if a.Share == ShareSilent && a.Generation == j.v.newest.Generation {
			names = append(names, a.Name)
		}
	}
	return names
}

func (j *judge) destroyHint(names []string) string {
	all := union(j.q.Destroyed, names)
	return "start their agents, or, if their machines are gone for good and can never come back, add --destroyed " + strings.Join(all, ",")
}

func intersect(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(name string) bool { return !slices.Contains(b, name) })
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// usable are the data members that answer and could lead.
func (j *judge) usable() (list []Answer) {
	for _, a := range j.each() {
		if a.usable(j.v.view.Cluster) && slices.ContainsFunc(j.v.Members, func(m core.MemberRecord) bool { return m.Name == a.Name }) {
			list = append(list, a)
		}
	}
	return list
}

// position finds the furthest, and the numbers that nobody has used.
func (j *judge) position() *Refusal {
	best := Answer{}
	for _, a := range j.usable() {
		if c := a.Position().Compare(best.Position()); best.Name == "" || c > 0 || c == 0 && j.before(a.Name, best.Name) {
			best = a
		}
	}
	j.v.Furthest = best.Name
	if best.Name == "" && j.v.view.Cluster.SystemID != "" {
		return refusal("no_data", "start the agents of the other members, or bring a data directory back", "no member that answers has data of this cluster")
	}
	j.v.Term, j.v.Timeline = j.v.view.Lease.Term, uint64(j.v.view.Lease.Timeline)
	for _, a := range j.each() {
		j.v.Term = max(j.v.Term, a.Term)
		j.v.Timeline = max(j.v.Timeline, uint64(a.Instance.Timeline), uint64(a.Instance.CheckpointTimeline))
		if a.Saved == nil {
			continue
		}
		if view, err := a.Saved.View(); err == nil {
			j.v.Term, j.v.Timeline = max(j.v.Term, view.Lease.Term), max(j.v.Timeline, uint64(view.Lease.Timeline))
		}
	}
	j.v.Term, j.v.Timeline = j.v.Term+1+skipped, j.v.Timeline+1+skipped
	return nil
}

// before: equal members by priority, then by order of joining, as in an election.
func (j *judge) before(a, b string) bool {
	rank := func(name string) (core.MemberRecord, int) {
		i := slices.IndexFunc(j.v.Members, func(m core.MemberRecord) bool { return m.Name == name })
		return j.v.Members[i], i
	}
	x, i := rank(a)
	y, k := rank(b)
	return cmp.Or(cmp.Compare(y.Tags.Priority, x.Tags.Priority), cmp.Compare(i, k)) < 0
}

// evidence says whether an acknowledged commit can be missing, and who may lead.
func (j *judge) evidence() *Refusal {
	j.v.Enough, j.v.Evidence = j.enough()
	if j.q.Leader == "" {
		j.v.Leader = j.leader()
		return nil
	}
	i := slices.IndexFunc(j.usable(), func(a Answer) bool { return a.Name == j.q.Leader })
	if i < 0 {
		return refusal("cannot_lead", "name a member that answers and has data", "%s cannot lead: it does not answer, or has no data of this cluster", j.q.Leader)
	}
	j.v.Leader = j.q.Leader
	if mine, best := j.usable()[i].Position(), j.answers[j.v.Furthest].Position(); mine.Compare(best) < 0 {
		j.v.Enough = false
		j.v.lost = []core.Loss{{Member: j.v.Furthest, Term: j.answers[j.v.Furthest].Term, From: mine, To: best.LSN}}
		j.v.Evidence = fmt.Sprintf("%s is at %s, %s at %s: what lies between is lost if %s leads", j.q.Leader, mine, j.v.Furthest, best, j.q.Leader)
	}
	return nil
}

// leader is the last holder, if it answers: it has everything that was acknowledged. (Others may be further by what
// never was.) Nobody else may lead then, whatever the newest copy of the lease says of who must be heard: its holder may
// have written since that nobody is to be counted on. Without the holder the usual election finds who has everything,
// by where members are then: they may still have received after they answered.
func (j *judge) leader() string {
	l := j.v.view.Lease
	newer := j.answers[j.v.Furthest].Position().Timeline > max(l.Timeline, 1)
	switch {
	case !j.v.Enough || newer:
		return j.v.Furthest
	case slices.ContainsFunc(j.usable(), func(a Answer) bool { return a.Name == l.Holder }):
		return l.Holder
	}
	return ""
}

// enough is R + W > N from the last known sync set, over those who answer with data.
func (j *judge) enough() (bool, string) {
	l, have, missing := j.v.view.Lease, []string{}, []string{}
	for _, a := range j.usable() {
		have = append(have, a.Name)
	}
	for _, m := range j.v.Members {
		if !m.Witness && !slices.Contains(have, m.Name) {
			missing = append(missing, m.Name)
		}
	}
	best := j.answers[j.v.Furthest].Position()
	switch known := max(l.Timeline, 1); {
	case j.v.view.Cluster.SystemID == "":
		return true, "the cluster has no database yet"
	case best.Timeline > known && len(missing) > 0:
		return false, fmt.Sprintf("the data of %s is on timeline %d, newer than the newest records: commits since may be on %s only", j.v.Furthest, best.Timeline, strings.Join(missing, ", "))
	case len(missing) == 0 && best.Timeline <= known:
		return true, "all data members answer with their data"
	case len(missing) == 0:
		return j.beyondRecords(best)
	case j.mayHave:
		return false, fmt.Sprintf("%s were enough to go on without the others: what was acknowledged after the newest records is not known", strings.Join(j.gone, ", "))
	case len(j.candidates(j.gone)) > 0 && !(j.v.view.Spec.Strict && j.v.view.Spec.Durability == spec.DurabilitySync):
		// Copies lag behind the store, and nobody who follows would have the timeline of one that led alone: async,
		// or degraded until nobody else had to confirm.
		return false, fmt.Sprintf("%s may have led after the newest records, alone: what only it had is lost", strings.Join(j.candidates(j.gone), ", "))
	case slices.Contains(have, l.Holder):
		return true, fmt.Sprintf("%s, which led last, has everything that was acknowledged", l.Holder)
	}
	return j.bySet(l, have, best)
}

// beyondRecords: all data members answer, and the furthest, which leads, is on a timeline that no record knows. Under async its
// takeover gave up what others have beyond the fork, and what the lease said of that is lost with the newest records. Under sync
// it was proven that nobody was told of it.
func (j *judge) beyondRecords(best wal.Position) (bool, string) {
	furthest, words := j.answers[j.v.Furthest], []string(nil)
	for _, a := range j.usable() {
		at, from := a.Position(), a.Position()
		from.LSN = min(at.LSN, a.Instance.History.Parting(at.Timeline, furthest.Instance.History, best.Timeline))
		if from.LSN < at.LSN && j.v.view.Spec.Durability == spec.DurabilityAsync {
			j.v.lost = append(j.v.lost, core.Loss{Member: a.Name, Term: a.Term, From: from, To: at.LSN})
			words = append(words, fmt.Sprintf("%s has from %s to %s", a.Name, from, at))
		}
	}
	if len(words) > 0 {
		return false, fmt.Sprintf("the data of %s is on timeline %d, newer than the newest records: whoever began it gave up what %s", j.v.Furthest, best.Timeline, strings.Join(words, ", "))
	}
	return true, fmt.Sprintf("all data members answer with their data; that of %s is on timeline %d, newer than the newest records: it leads", j.v.Furthest, best.Timeline)
}

// candidates are those of names who may lead.
func (j *judge) candidates(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(j.v.Members, func(m core.MemberRecord) bool { return m.Name == name && (m.Witness || m.Tags.NoFailover) })
	})
}

func (j *judge) bySet(l core.LeaseRecord, have []string, best wal.Position) (bool, string) {
	if f := l.Final; l.Released && f.LSN != 0 && best.Timeline == f.Timeline && best.LSN >= f.LSN {
		return true, fmt.Sprintf("%s stopped cleanly at %s, and %s has that", l.Holder, f, j.v.Furthest)
	}
	switch heard, need := intersect(l.Sync.Members, have), len(l.Sync.Members)-l.Sync.K+1; {
	case len(l.Sync.Members) == 0:
		return false, fmt.Sprintf("commits of term %d may exist on %s only", l.Term, l.Holder)
	case len(heard) < need:
		return false, fmt.Sprintf("%d of %d members that must be heard answer (commits are on %s and %d of %s)", len(heard), need, l.Holder, l.Sync.K, strings.Join(l.Sync.Members, ", "))
	}
	return true, fmt.Sprintf("enough of %s answer: each acknowledged commit is on one of them", strings.Join(l.Sync.Members, ", "))
}

// confirm: nothing is done by accident.
func (j *judge) confirm() *Refusal {
	switch {
	case j.q.Confirm == "":
	case j.q.Confirm != j.v.Cluster:
		return refusal("not_confirmed", "--confirm "+j.v.Cluster, "this cluster is called %s, not %s", j.v.Cluster, j.q.Confirm)
	case !j.v.Enough && !j.q.AcceptLoss:
		return refusal("loss_not_accepted", "start the agents of more members, or add --accept-loss", "acknowledged commits may be lost: %s", j.v.Evidence)
	}
	return nil
}
