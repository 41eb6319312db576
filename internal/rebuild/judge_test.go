package rebuild

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/wal"
)

const id, system = "6f0d4d0e", "7"

// world is what the members of a cluster have; a case changes it.
type world struct {
	t       *testing.T
	q       Question
	answers map[string]Answer
}

// saved are records of n1..nN under a lease.
func (w *world) saved(n int, revision int64, l core.LeaseRecord, change ...func(*spec.Cluster)) *Saved {
	s := &Saved{Revision: revision, SavedAt: fmt.Sprintf("at %d", revision), Entries: map[string]Raw{}}
	put := func(key string, record any) {
		data, err := json.Marshal(record)
		if err != nil {
			w.t.Fatal(err)
		}
		s.Entries[key] = data
	}
	c := spec.DefaultCluster()
	for _, f := range change {
		f(&c)
	}
	put(records.KeyCluster, core.ClusterRecord{ID: id, Name: "main", BootstrapBy: "n1", SystemID: system})
	put(records.KeySpec, c)
	put("ordinal", n)
	if l.Term > 0 {
		put(records.KeyLease, l)
	}
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		put(records.MemberPrefix+name, core.MemberRecord{Name: name, Ordinal: i + 1, Address: name})
		if i < core.VotersMax {
			s.Voters = append(s.Voters, name)
		}
	}
	return s
}

// leased is the usual lease: n1's of term 4 on timeline 2, commits on it and k of the others.
func leased(k int, others ...string) core.LeaseRecord {
	return core.LeaseRecord{Holder: "n1", Term: 4, Beat: 9, Timeline: 2, TTL: spec.DefaultCluster().Lease.TTL, Sync: core.SyncSet{Members: others, K: k}}
}

// three members without their stores, all with data and records.
func three(t *testing.T) *world {
	w := &world{t: t, q: Question{ClusterID: id}, answers: map[string]Answer{}}
	s := w.saved(3, 100, leased(1, "n2", "n3"))
	for i, at := range []wal.LSN{500, 500, 400} {
		w.has(fmt.Sprintf("n%d", i+1), i+1, s, at)
	}
	return w
}

func (w *world) has(name string, ordinal int, s *Saved, at wal.LSN) {
	w.answers[name] = Answer{Name: name, Ordinal: ordinal, ClusterID: id, Share: ShareLost, Saved: s, Term: 4,
		Data:     core.Data{State: core.DataPresent, ClusterID: id, SystemID: system},
		Instance: core.Instance{State: core.StateStopped, Control: "shut down", Timeline: 2, LastRecord: at}}
}

// change edits one answer.
func (w *world) change(name string, f func(*Answer)) {
	a := w.answers[name]
	f(&a)
	w.answers[name] = a
}

// strict: nobody has ever acknowledged anything alone. rev is of newer records than those that all have.
func (w *world) strict(rev int64, l core.LeaseRecord, who ...string) {
	s := w.saved(3, rev, l, func(c *spec.Cluster) { c.Strict = true })
	for _, n := range who {
		w.change(n, func(a *Answer) { a.Saved = s })
	}
}

// async: a loss was accepted from the start; all have the same records.
func (w *world) async() {
	s := w.saved(3, 100, leased(0), func(c *spec.Cluster) { c.Durability = spec.DurabilityAsync })
	for n := range w.answers {
		w.change(n, func(a *Answer) { a.Saved = s })
	}
}

func (w *world) lose(names ...string) {
	for _, name := range names {
		delete(w.answers, name)
	}
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*world)
		refusal  string // code; "" for none
		hint     string // part of it
		enough   bool
		evidence string // part of it
		leader   string // the only one; "": the last leader; "-": the usual election
		furthest string
	}{
		"all answer": {func(w *world) {}, "", "", true, "all data members answer", "", "n1"},
		"all answer, under async": {func(w *world) {
			w.async()
		}, "", "", true, "all data members answer", "", "n1"},
		"one is silent, under async: it may have led since": {func(w *world) {
			w.async()
			w.lose("n3")
		}, "", "", false, "n3 may have led after the newest records, alone", "n1", "n1"},
		"who had the newest records has gone silent since": {func(w *world) {
			next := leased(1, "n1", "n3")
			next.Holder, next.Term, next.Timeline = "n2", 5, 3
			w.q.Seen = Records{"n2", *w.saved(3, 200, next, func(c *spec.Cluster) { c.Strict = true })}
			w.lose("n2")
		}, "", "", true, "enough of n1, n3", "-", "n1"},
		"equal members go by priority and order": {func(w *world) { w.change("n1", func(a *Answer) { a.Instance.LastRecord = 500 }) }, "", "", true, "", "", "n1"},
		"a running standby is as far as it received": {func(w *world) {
			w.change("n3", func(a *Answer) {
				a.Instance = core.Instance{State: core.StateRunning, Timeline: 2, ReceivedLSN: 900}
			})
		}, "", "", true, "", "n1", "n3"}, // n1 led last, and has all that was acknowledged

		// Is it lost at all?
		"the store answers": {func(w *world) { w.change("n3", func(a *Answer) { a.Share = ShareAnswers }) }, "store_answers", "pgherd status", false, "", "", ""},
		"a quorum of shares is intact": {func(w *world) {
			w.change("n2", func(a *Answer) { a.Share = ShareSilent })
			w.change("n3", func(a *Answer) { a.Share = ShareSilent })
		}, "store_intact", "reach each other", false, "", "", ""},
		"one share is intact":                {func(w *world) { w.change("n3", func(a *Answer) { a.Share = ShareSilent }) }, "", "", true, "", "", "n1"},
		"nobody has records":                 {func(w *world) { w.forget("n1", "n2", "n3") }, "no_records", "records.json", false, "", "", ""},
		"one has records":                    {func(w *world) { w.forget("n1", "n2") }, "", "", true, "", "", "n1"},
		"another cluster's member is no one": {func(w *world) { w.change("n2", func(a *Answer) { a.ClusterID = "x" }) }, "", "", false, "n2 may have led", "n1", "n1"},
		"another joining of the name is no one": {func(w *world) {
			w.change("n2", func(a *Answer) { a.Ordinal = 9 })
			w.lose("n3")
		}, "silent_quorum", "--destroyed n2,n3", false, "", "", ""},

		// Could an old quorum come back?
		"one is silent": {func(w *world) { w.lose("n3") }, "", "", false, "n3 may have led after the newest records, alone", "n1", "n1"},
		"one is silent, and nobody is ever alone": {func(w *world) {
			w.strict(101, leased(1, "n2", "n3"), "n2")
			w.lose("n3")
		}, "", "", true, "n1, which led last", "", "n1"},
		"two are silent": {func(w *world) { w.lose("n2", "n3") }, "silent_quorum", "--destroyed n2,n3", false, "", "", ""},
		"two are silent, one is destroyed": {func(w *world) {
			w.lose("n2", "n3")
			w.q.Destroyed = []string{"n3"}
		}, "", "", false, "n2, n3 were enough to go on", "n1", "n1"},
		"destroyed, and it answers":    {func(w *world) { w.q.Destroyed = []string{"n3"} }, "not_destroyed", "leave it out", false, "", "", ""},
		"destroyed, and nobody's name": {func(w *world) { w.q.Destroyed = []string{"n9"} }, "no_such_member", "table", false, "", "", ""},
		"two voted only, and both are silent": {func(w *world) {
			w.change("n1", func(a *Answer) { s := *a.Saved; s.Voters = []string{"n3"}; s.Revision++; a.Saved = &s })
			w.lose("n3")
		}, "silent_quorum", "--destroyed n3", false, "", "", ""},
		"somebody may have rebuilt it already": {func(w *world) {
			w.change("n2", func(a *Answer) { a.Generation, a.Founder, a.Share = 1, "n3", ShareRetired })
			w.lose("n3")
		}, "founder_silent", "--destroyed n3", false, "", "", ""},
		"somebody promised himself to one who is destroyed": {func(w *world) {
			w.change("n2", func(a *Answer) { a.Generation, a.Founder, a.Share = 1, "n3", ShareRetired })
			w.lose("n3")
			w.q.Destroyed = []string{"n3"}
		}, "", "", false, "n3 may have led after the newest records, alone", "n1", "n1"},

		// Can an acknowledged commit be missing?
		"the last leader is gone, and may have been left alone": {func(w *world) {
			w.lose("n1")
		}, "", "", false, "n1 may have led after the newest records, alone", "n2", "n2"},
		"the last leader is gone, the set answers": {func(w *world) {
			w.strict(101, leased(1, "n2", "n3"), "n2")
			w.lose("n1")
		}, "", "", true, "enough of n2, n3", "-", "n2"},
		"the last leader and its records are gone, the set does not suffice": {func(w *world) {
			w.strict(101, leased(1, "n2", "n3"), "n3")
			w.change("n3", func(a *Answer) { a.Data.State = core.DataAbsent })
			w.lose("n1")
		}, "", "", false, "1 of 2 members that must be heard", "n2", "n2"},
		"k is 2: one of the set suffices": {func(w *world) {
			w.strict(101, leased(2, "n2", "n3"), "n3")
			w.change("n3", func(a *Answer) { a.Data.State = core.DataBroken })
			w.lose("n1")
		}, "", "", true, "enough of n2, n3", "-", "n2"},
		"commits were on the leader only": {func(w *world) {
			w.strict(101, leased(0), "n3")
			w.lose("n1")
		}, "", "", false, "on n1 only", "n2", "n2"},
		"the leader stopped cleanly, and a standby has that": {func(w *world) {
			l := leased(0)
			l.Released, l.Final = true, wal.Position{Timeline: 2, LSN: 480}
			w.strict(101, l, "n3")
			w.lose("n1")
		}, "", "", true, "stopped cleanly", "-", "n2"},
		"async, and the leader is gone": {func(w *world) {
			s := w.saved(3, 101, leased(0), func(c *spec.Cluster) { c.Durability = spec.DurabilityAsync })
			w.change("n3", func(a *Answer) { a.Saved = s })
			w.lose("n1")
		}, "", "", false, "n1 may have led", "n2", "n2"},
		"the survivor of three led last, but others could have gone on": {func(w *world) {
			w.lose("n2", "n3")
			w.q.Destroyed = []string{"n2", "n3"}
		}, "", "", false, "were enough to go on without the others", "n1", "n1"},
		"data newer than all records": {func(w *world) {
			w.change("n3", func(a *Answer) { a.Instance.Timeline = 3 })
		}, "", "", true, "newer than the newest records", "n3", "n3"},
		"under async, who began data newer than all records gave up what another has": {func(w *world) {
			w.async()
			w.change("n3", func(a *Answer) { a.Instance.Timeline, a.Instance.History = 3, wal.History{{Timeline: 2, LSN: 400}} })
		}, "", "", false, "gave up what n1 has from 2:0/190 to 2:0/1F4, n2 has from 2:0/190 to 2:0/1F4", "n3", "n3"},
		"under async, data newer than all records in which nothing is missing": {func(w *world) {
			w.async()
			w.change("n3", func(a *Answer) { a.Instance.Timeline, a.Instance.History = 3, wal.History{{Timeline: 2, LSN: 500}} })
		}, "", "", true, "newer than the newest records", "n3", "n3"},
		"data of another system is nobody's": {func(w *world) {
			w.change("n1", func(a *Answer) { a.Data.SystemID = "8" })
		}, "", "", true, "enough of n2, n3", "-", "n2"},
		"no data anywhere": {func(w *world) {
			for n := range w.answers {
				w.change(n, func(a *Answer) { a.Data.State = core.DataAbsent })
			}
		}, "no_data", "data directory", false, "", "", ""},

		// Who is to lead.
		"a leader that is as far": {func(w *world) { w.q.Leader = "n2" }, "", "", true, "", "n2", "n1"},
		"a leader that is behind": {func(w *world) { w.q.Leader = "n3" }, "", "", false, "n3 is at 2:0/190", "n3", "n1"},
		"a leader without data": {func(w *world) {
			w.q.Leader = "n3"
			w.change("n3", func(a *Answer) { a.Data.State = core.DataAbsent })
		}, "cannot_lead", "has data", true, "", "-", ""},

		// Confirmation.
		"confirmed":      {func(w *world) { w.q.Confirm = "main" }, "", "", true, "", "", "n1"},
		"another's name": {func(w *world) { w.q.Confirm = "mian" }, "not_confirmed", "--confirm main", true, "", "", "n1"},
		"loss is not accepted by the name alone": {func(w *world) {
			w.q = Question{ClusterID: id, Confirm: "main", Destroyed: []string{"n2", "n3"}}
			w.lose("n2", "n3")
		}, "loss_not_accepted", "--accept-loss", false, "", "n1", "n1"},
		"loss is accepted": {func(w *world) {
			w.q = Question{ClusterID: id, Confirm: "main", Destroyed: []string{"n2", "n3"}, AcceptLoss: true}
			w.lose("n2", "n3")
		}, "", "", false, "", "n1", "n1"},

		// An external store.
		"external, silent": {func(w *world) { w.external(ShareExternal) }, "store_silent", "bring the external store back", false, "", "", ""},
		"external, empty":  {func(w *world) { w.external(ShareEmpty) }, "", "", true, "", "", "n1"},
		"external, not empty for one": {func(w *world) {
			w.external(ShareEmpty)
			w.change("n2", func(a *Answer) { a.Share = ShareAnswers })
		}, "store_answers", "status", false, "", "", ""},
		"external, one is silent": {func(w *world) {
			w.external(ShareEmpty)
			w.lose("n3")
		}, "members_silent", "--destroyed n3", false, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := three(t)
			c.change(w)
			v := Judge(w.q, w.answers)
			got := Refusal{}
			if v.Refusal != nil {
				got = *v.Refusal
			}
			if got.Code != c.refusal || !strings.Contains(got.Hint, c.hint) || c.refusal != "" && got.Text == "" {
				t.Fatalf("refusal %+v, want %q with %q", got, c.refusal, c.hint)
			}
			leader := c.leader
			switch {
			case leader == "-":
				leader = ""
			case leader == "" && v.Enough:
				leader = "n1"
			}
			if v.Enough != c.enough || !strings.Contains(v.Evidence, c.evidence) || v.Leader != leader || c.furthest != "" && v.Furthest != c.furthest {
				t.Errorf("enough %v, evidence %q, leader %q, furthest %q; want %+v", v.Enough, v.Evidence, v.Leader, v.Furthest, c)
			}
		})
	}
}

func (w *world) forget(names ...string) {
	for _, name := range names {
		w.change(name, func(a *Answer) { a.Saved = nil })
	}
}

func (w *world) external(share Share) {
	w.q.External = true
	for name := range w.answers {
		w.change(name, func(a *Answer) { a.Share = share })
	}
}

// first decodes the new store's records.
func (w *world) first(v Verdict) core.StoreView {
	w.t.Helper()
	entries, err := v.Records("uid 0", "now")
	if err != nil {
		w.t.Fatal(err)
	}
	view, err := Saved{Revision: 1, Entries: entries}.View()
	if err != nil {
		w.t.Fatal(err)
	}
	return view
}

// The first records go on from the last ones: the same cluster, members and spec, and a lease of the furthest that
// promises nobody, as the newest copy may be older than the last promise. What was only of the moment is gone.
func TestRecordsGoOnFromTheNewest(t *testing.T) {
	w := three(t)
	newest := w.saved(3, 120, leased(1, "n3"))
	newest.Entries["operation"], newest.Entries["requests/n2"], newest.Entries["tokens/x"] = Raw(`{}`), Raw(`{}`), Raw(`{}`)
	newest.Entries["added_by_a_newer_binary"] = Raw(`1`)
	w.change("n3", func(a *Answer) { a.Saved = newest })
	w.change("n2", func(a *Answer) { a.Term, a.Instance.Timeline = 7, 2 })
	v := Judge(w.q, w.answers)
	view := w.first(v)
	if v.Source != "n3" || view.Operation != nil || len(view.Requests) > 0 || len(view.Members) != 3 {
		t.Errorf("records of %s: %+v", v.Source, view)
	}
	entries, _ := v.Records("uid 0", "now")
	if string(entries["ordinal"]) != "3" || string(entries["added_by_a_newer_binary"]) != "1" || entries["tokens/x"] != nil {
		t.Errorf("%s", entries)
	}
	if c := view.Cluster; c.ID != id || c.SystemID != system || c.Generation != 1 || c.RecoveredBy != "uid 0" {
		t.Errorf("cluster %+v", c)
	}
	if l := view.Lease; l.Holder != "n1" || l.Term != 8+skipped || l.Timeline != 3+skipped || l.Released || len(l.Sync.Members) != 0 {
		t.Errorf("lease %+v", l)
	}
}

// A clean stop is over: whoever is furthest has its last record, and the position of the stop would be behind
// what it writes.
func TestRecordsAfterACleanStop(t *testing.T) {
	w := three(t)
	l := leased(0)
	l.Released, l.Final = true, wal.Position{Timeline: 2, LSN: 480}
	s := w.saved(3, 101, l)
	w.change("n3", func(a *Answer) { a.Saved = s })
	if l := w.first(Judge(w.q, w.answers)).Lease; l.Released || l.Final.LSN != 0 || l.Holder != "n1" || l.Term != 5+skipped {
		t.Errorf("lease %+v", l)
	}
}

// With accepted loss the lease names the only one who may lead, and promises nobody anything: no other is covered.
func TestRecordsOfAnAcceptedLoss(t *testing.T) {
	w := three(t)
	l := leased(1, "n2", "n3")
	l.Released, l.Final = true, wal.Position{Timeline: 2, LSN: 480}
	w.change("n2", func(a *Answer) { a.Saved = w.saved(3, 101, l) })
	w.lose("n1", "n3")
	w.q.Destroyed = []string{"n1", "n3"}
	view := w.first(Judge(w.q, w.answers))
	if len(view.Members) != 1 || view.Members[0].Name != "n2" {
		t.Errorf("the destroyed are members still: %+v", view.Members)
	}
	got := view.Lease
	if got.Holder != "n2" || len(got.Sync.Members) > 0 || got.Released || got.Final.LSN != 0 {
		t.Errorf("lease %+v", got)
	}
	if len(got.Lost) != 1 || got.Lost[0].Member != "n1" || got.Lost[0].Term != l.Term || got.Lost[0].From.LSN == 0 {
		t.Errorf("what may be lost: %+v", got.Lost)
	}
	if got.Term != 5+skipped || got.Timeline != 3+skipped {
		t.Errorf("term %d, timeline %d", got.Term, got.Timeline)
	}
}

// Each generation is new, also when one was promised and never made.
func TestGenerationGrowsOverPromises(t *testing.T) {
	w := three(t)
	w.change("n2", func(a *Answer) { a.Generation, a.Founder, a.Share = 4, "n1", ShareRetired })
	if v := Judge(w.q, w.answers); v.Refusal != nil || v.Generation != 5 {
		t.Errorf("%+v", v)
	}
	// Records of a later store are newer, whatever their revision.
	w.change("n3", func(a *Answer) { s := *a.Saved; s.Generation, s.Revision = 3, 2; a.Saved = &s })
	if v := Judge(w.q, w.answers); v.Source != "n3" || v.Generation != 5 {
		t.Errorf("%+v", v)
	}
}

// The old store must be without trust before there is a new one.
func TestWaitForOldTrust(t *testing.T) {
	saved := &Saved{Entries: map[string]Raw{records.KeyLease: Raw(`{"holder":"n2","term":3,"ttl":"7s"}`)}}
	stopped := Answer{Saved: saved, Instance: core.Instance{State: core.StateStopped}}
	primary := Answer{Saved: saved, Instance: core.Instance{State: core.StateRunning, Primary: true}}
	v := Verdict{Members: []core.MemberRecord{{Name: "n1"}, {Name: "n2"}}}
	for name, c := range map[string]struct {
		answers map[string]Answer
		want    time.Duration
	}{
		"all answer and none can write": {map[string]Answer{"n1": stopped, "n2": stopped}, 0},
		"one runs as primary":           {map[string]Answer{"n1": stopped, "n2": primary}, 7 * time.Second},
		"one is silent":                 {map[string]Answer{"n1": stopped}, 7 * time.Second},
	} {
		if got := v.Wait(c.answers); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// What is lost beside the newest records is what others have and the leader has not; the lease says it.
func TestRecordsSayWhatIsGivenUp(t *testing.T) {
	w := three(t)
	w.async()
	w.change("n3", func(a *Answer) { a.Instance.Timeline, a.Instance.History = 3, wal.History{{Timeline: 2, LSN: 450}} })
	w.change("n2", func(a *Answer) { a.Instance.LastRecord = 440 })
	w.q.AcceptLoss = true
	want := []core.Loss{{Member: "n1", Term: 4, From: wal.Position{Timeline: 2, LSN: 450}, To: 500}}
	if l := w.first(Judge(w.q, w.answers)).Lease; l.Holder != "n3" || !slices.Equal(l.Lost, want) {
		t.Errorf("lease %+v, want lost %+v", l, want)
	}
	w.q.Leader = "n1" // the operator knows better
	want = []core.Loss{{Member: "n3", Term: 4, From: wal.Position{Timeline: 2, LSN: 500}, To: 400}}
	if l := w.first(Judge(w.q, w.answers)).Lease; l.Holder != "n1" || !slices.Equal(l.Lost, want) {
		t.Errorf("lease %+v, want lost %+v", l, want)
	}
}
