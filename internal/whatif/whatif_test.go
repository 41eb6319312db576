package whatif

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

// three is a healthy cluster: n1 leads term 5, n2 and n3 stream, any 1 of them confirms commits.
func three() Facts {
	f := Facts{Peers: map[string]core.Peer{}, Voters: []string{"n1", "n2", "n3"}}
	s := &f.Store
	s.Known, s.LeaseRevision = true, 50
	s.Cluster = core.ClusterRecord{ID: "id", SystemID: "7", Name: "main"}
	s.Spec = spec.DefaultCluster()
	s.Lease = core.LeaseRecord{Holder: "n1", Term: 5, Beat: 10, TTL: s.Spec.Lease.TTL, Margin: s.Spec.Lease.Margin, Timeline: 3, LSN: 0x5000, Written: true,
		Sync: core.SyncSet{Members: []string{"n2", "n3"}, K: 1}}
	for i, name := range []string{"n1", "n2", "n3"} {
		s.Members = append(s.Members, core.MemberRecord{Name: name, Ordinal: i + 1})
		p := core.Peer{Name: name, Known: true, Term: 5, Beat: 10, Instance: core.Instance{
			State: core.StateRunning, SystemID: "7", Timeline: 3, ReceivedLSN: 0x5000, ReplayLSN: 0x5000, Receiver: true, Streaming: true, Follows: "n1"}}
		if name == "n1" {
			p.Instance = core.Instance{State: core.StateRunning, Primary: true, SystemID: "7", Timeline: 3, WriteLSN: 0x5000, Control: "in production"}
		}
		f.Peers[name] = p
	}
	return f
}

func (f *Facts) change(name string, change func(*core.MemberRecord, *core.Peer)) {
	for i := range f.Store.Members {
		if m := &f.Store.Members[i]; m.Name == name {
			p := f.Peers[name]
			change(m, &p)
			f.Peers[name] = p
		}
	}
}

func TestAsk(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Facts)
		fault  string
		leader string
		text   string // part of Text, or of a reason
		loss   int64
		ends   bool // writes come back by themselves
	}{
		"the primary's machine":        {nil, "n1=down", "n2", "ahead of or equal to n3", 0, true},
		"its PostgreSQL":               {nil, "n1=postgres", "n2", "takes over", 0, true},
		"it is cut off":                {nil, "n1=cut", "n2", "it stops writing 4s after its last renewal", 0, true},
		"a standby":                    {nil, "n3=down", "n1", "any 1 of n2", 0, true},
		"both standbys":                {nil, "n2=down,n3=down", "", "cannot give it", 0, false},
		"primary and standby":          {nil, "n1=down,n2=down", "", "no majority", 0, false},
		"the store":                    {nil, "store=down", "n1", "by the word of all other members", 0, true},
		"the store and a standby":      {nil, "store=down,n3=down", "", "n3 cannot give it", 0, false},
		"a link of the primary":        {nil, "n1-n2=cut", "n1", "any 1 of n3", 0, true},
		"PostgreSQL of both standbys":  {nil, "n2=postgres,n3=postgres", "n1", "counted no more", 0, true},
		"the same, strict":             {func(f *Facts) { f.Store.Spec.Strict = true }, "n2=postgres,n3=postgres", "n1", "strict", 0, false},
		"paused":                       {func(f *Facts) { f.Store.Paused = true }, "n1=down", "", "paused", 0, false},
		"the only one that may lead":   {func(f *Facts) { f.change("n3", noFailover) }, "n1=down", "n2", "takes over", 0, true},
		"nobody may lead":              {func(f *Facts) { f.change("n2", noFailover); f.change("n3", noFailover) }, "n1=down", "", "tagged no_failover", 0, false},
		"the set was not heard":        {func(f *Facts) { f.Store.Lease.Sync.Members = []string{"n3"} }, "n1=down,n3=postgres", "", "heard 0 of 1", 0, false},
		"async, behind":                {async(1 << 20), "n1=down", "n2", "takes over", 0x1000, true},
		"async, too far":               {async(100), "n1=down", "", "max_lag_bytes", 0, false},
		"a witness":                    {func(f *Facts) { f.change("n3", witness); f.Store.Lease.Sync.Members = []string{"n2"} }, "n1=down", "n2", "votes", 0, true},
		"two members and no witness":   {two, "n1=down", "", "no majority", 0, false},
		"the standby of two":           {two, "n2=down", "", "cannot give it", 0, false},
		"nobody answers but a standby": {func(f *Facts) { delete(f.Peers, "n1") }, "n3=postgres", "", "heard 1 of 2", 0, false},
	} {
		f := three()
		if c.change != nil {
			c.change(&f)
		}
		faults, err := Parse(c.fault, []string{"n1", "n2", "n3"})
		if err != nil {
			t.Fatal(err)
		}
		a := Ask(f, faults)
		said := a.Text
		for _, r := range a.Reasons {
			said += "; " + r.Reason.Text
		}
		if a.Leader != c.leader || !strings.Contains(said, c.text) || a.LossMax != c.loss || (a.StopMax >= 0) != c.ends {
			t.Errorf("%s (%s): %q leads, at most %v s, %d bytes: %s", name, c.fault, a.Leader, a.StopMax, a.LossMax, said)
		}
	}
}

func noFailover(m *core.MemberRecord, _ *core.Peer) { m.Tags.NoFailover = true }

func witness(m *core.MemberRecord, p *core.Peer) {
	m.Witness, p.Instance = true, core.Instance{}
}

func async(maxLag int64) func(*Facts) {
	return func(f *Facts) {
		f.Store.Spec.Durability, f.Store.Spec.MaxLagBytes = spec.DurabilityAsync, maxLag
		f.Store.Lease.Sync = core.SyncSet{}
		for _, name := range []string{"n2", "n3"} {
			f.change(name, func(_ *core.MemberRecord, p *core.Peer) {
				p.Instance.ReceivedLSN, p.Instance.ReplayLSN = 0x4000, 0x4000
			})
		}
	}
}

func two(f *Facts) {
	f.Store.Members, f.Voters = f.Store.Members[:2], f.Voters[:2]
	f.Store.Lease.Sync.Members = []string{"n2"}
	delete(f.Peers, "n3")
}

// How long writes stop follows from the lease: a machine that is gone is waited for, a PostgreSQL is not.
func TestAskBounds(t *testing.T) {
	ask := func(text string) Answer {
		faults, err := Parse(text, []string{"n1", "n2", "n3"})
		if err != nil {
			t.Fatal(err)
		}
		return Ask(three(), faults)
	}
	l := three().Store.Lease
	if a := ask("n1=down"); a.StopMin < 4 || a.StopMin > 4.5 || a.StopMax < l.TTL.D().Seconds() || a.StopMax > 10 {
		t.Errorf("down: %v to %v s", a.StopMin, a.StopMax)
	}
	if a := ask("n1=postgres"); a.StopMin > 1 || a.StopMax > 5 {
		t.Errorf("postgres: %v to %v s", a.StopMin, a.StopMax)
	}
	if a := ask("n1=cut"); a.StopMin < l.Margin.D().Seconds() || a.StopMax > 5 {
		t.Errorf("cut: %v to %v s", a.StopMin, a.StopMax)
	}
	if a := ask("n3=down"); a.StopMax != 0 {
		t.Errorf("a standby: %v s", a.StopMax)
	}
}

// After one loss of three there is no majority left to lose.
func TestAskWhatNext(t *testing.T) {
	if a := Ask(three(), []Fault{{"n1", Postgres}}); len(a.Bears) != 3 || a.Breaks != nil {
		t.Errorf("PostgreSQL of n1 is gone, its vote is not: %v can be lost then, %v not", a.Bears, a.Breaks)
	}
	if a := Ask(three(), []Fault{{"n1", Down}}); a.Bears != nil || !slices.Equal(a.Breaks, []string{"n2", "n3"}) {
		t.Errorf("n1 is gone: %v can be lost then, %v not", a.Bears, a.Breaks)
	}
}

func TestParse(t *testing.T) {
	members := []string{"n1", "n2", "a-b", "a", "b"}
	for text, want := range map[string]string{
		"n1=down": "", "n1=postgres,n2=cut": "", "n1-n2=cut": "", "a-b=down": "", "a-b-n1=cut": "", "store=down": "",
		"n3=down": "no member is called", "n1": "want WHAT=KIND", "n1=dead": "want down, postgres or cut", "n1-n2=down": "can be cut",
		"store=cut": "want store=down", "n1-n1=cut": "can be cut", "": "want WHAT=KIND", "n1=down,": "want WHAT=KIND",
	} {
		if _, err := Parse(text, members); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
