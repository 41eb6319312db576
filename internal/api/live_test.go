package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
)

// TestLive: who looks is told what is so at once, then each event as it is written down, and each tick.
func TestLive(t *testing.T) {
	f := newFixture(t)
	f.b.Journal.Record(f.tick(1))
	all := f.live(f.bearer(RoleViewer))
	next := func() (name, data string) {
		for name, data = all(); strings.Contains(data, `"`+journal.EventAudit+`"`); { // of the token that was made for this
			name, data = all()
		}
		return name, data
	}
	name, data := next()
	var s ClusterStatus
	if err := json.Unmarshal([]byte(data), &s); name != LiveStatus || err != nil || s.Term != 4 || len(s.Members) != 3 || s.At.IsZero() {
		t.Fatalf("%s %+v %v", name, s, err)
	}
	e := f.tick(2)
	e.View.Store.Paused = true
	f.b.Journal.Record(e)
	paused, told := false, false
	for !paused || !told {
		name, data := next()
		switch name {
		case LiveStatus:
			paused = json.Unmarshal([]byte(data), &s) == nil && s.Paused
		case LiveEvent:
			var ev journal.Event
			told = json.Unmarshal([]byte(data), &ev) == nil && ev.Code == journal.EventPaused
		}
	}
}

// TestOthersEventsAreRelayed: what another member writes down is told as it is written, and members tell each other their own only.
func TestOthersEventsAreRelayed(t *testing.T) {
	f := newFixture(t, func(b *Backend) {
		config, err := pki.ClientTLS(b.PKI)
		if err != nil {
			t.Fatal(err)
		}
		b.Peers = peer.New(config)
		t.Cleanup(b.Peers.Close)
	})
	other := f.another("n2")
	f.b.Journal.Record(f.tick(1))
	next := f.live(f.bearer(RoleViewer))
	other.b.Journal.Record(other.tick(1))
	for code := ""; code != journal.EventRecovery; {
		other.b.Journal.Tell(journal.Event{At: time.Now(), Member: "n2", Code: journal.EventRecovery}) // until the relay is there
		other.b.Journal.Tell(journal.Event{At: time.Now(), Member: "n3", Code: "forged"})
		f.b.Journal.Record(f.tick(2))
		name, data := next()
		var ev journal.Event
		if name == LiveEvent && json.Unmarshal([]byte(data), &ev) == nil {
			code = ev.Code
		}
		if code == "forged" {
			t.Fatal("a member speaks for another")
		}
	}
	other.s.live.mu.Lock()
	defer other.s.live.mu.Unlock()
	for _, as := range other.s.live.watchers {
		if as&people != 0 {
			t.Error("the relay counts as somebody who looks: members would ask each other in circles")
		}
	}
}

// another serves a second member of the fixture's cluster.
func (f *fixture) another(name string) *fixture {
	f.t.Helper()
	j, err := journal.Open(filepath.Join(shortDir(f.t), "journal"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(j.Close)
	g := &fixture{t: f.t, ca: f.ca, store: f.store, known: f.known}
	g.b = f.b
	g.b.Name, g.b.PKI, g.b.Journal, g.b.Config.StateDir, g.b.Peers = name, f.pki(name), j, shortDir(f.t), nil
	g.serve()
	f.put("members/"+name, core.MemberRecord{Name: name, Ordinal: 2, Address: "127.0.0.1", APIPort: portOf(f.t, g.s.Addr())})
	return g
}

// TestDecisionsAreTold: who looks is told each member's decision, and again when it decides something else; a renewal is nothing else.
func TestDecisionsAreTold(t *testing.T) {
	said := func(e journal.Entry) peer.Decision { return peer.Decision{Reasons: e.Report.Reasons} }
	f := newFixture(t, func(b *Backend) {
		config, err := pki.ClientTLS(b.PKI)
		if err != nil {
			t.Fatal(err)
		}
		b.Peers, b.Decision = peer.New(config), said
		t.Cleanup(b.Peers.Close)
	})
	other := f.another("n2")
	decide := func(of *fixture, n int, why string) {
		e := of.tick(n)
		e.Report.Reasons = []core.Reason{{Code: core.Code(why), Text: "because"}}
		of.b.Journal.Record(e)
	}
	decide(f, 1, "first")
	decide(other, 1, "theirs")
	next := f.live(f.bearer(RoleViewer))
	var told []string
	until := func(want string) {
		t.Helper()
		for len(told) == 0 || told[len(told)-1] != want {
			name, data := next()
			var d Decided
			if name == LiveDecision && json.Unmarshal([]byte(data), &d) == nil {
				told = append(told, d.Member+" "+string(d.Decision.Reasons[0].Code))
			}
		}
	}
	until("n1 first")
	until("n2 theirs")
	told = nil
	decide(f, 2, "first") // nothing else
	decide(f, 3, "second")
	until("n1 second")
	if len(told) > 2 { // twice, where it came as another was told
		t.Errorf("told %v", told)
	}
	decide(other, 2, "other")
	until("n2 other")
	next, told = f.live(f.bearer(RoleViewer)), nil // who comes later is told what was decided before, by all
	until("n2 other")
}

// TestLiveIsForViewers: the stream opens for nobody without a right to look.
func TestLiveIsForViewers(t *testing.T) {
	f := newFixture(t)
	answer, err := f.remote(nil).http.Get("https://" + f.s.Addr().String() + LivePath)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("%s", answer.Status)
	}
}

// tick is the n-th entry of the fixture's journal, with the records of its store.
func (f *fixture) tick(n int) journal.Entry {
	f.t.Helper()
	v, _, err := f.s.read(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	return journal.Entry{At: time.Now().Add(time.Duration(n) * time.Second), View: core.View{Self: "n1", Store: v}}
}

// live opens the stream and gives its events one after the other.
func (f *fixture) live(c *Client) (next func() (name, data string)) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	f.t.Cleanup(cancel)
	body, err := c.openStream(ctx, LivePath, "")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { body.Close() })
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	return func() (name, data string) {
		for lines.Scan() {
			if value, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = value
			}
			if value, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return name, value
			}
		}
		f.t.Fatalf("the stream ended: %v", lines.Err())
		return "", ""
	}
}

// TestStatusTellsTheDashboard: what the page draws beside what the command line prints.
func TestStatusTellsTheDashboard(t *testing.T) {
	f := newFixture(t)
	n1, n2 := f.known["n1"], f.known["n2"]
	n1.CommitMS, n1.Instance.Sessions, n1.Instance.SessionsMax = 1.5, 7, 97
	n2.Instance.Follows, n2.CommitMS = "n1", 9
	f.known["n1"], f.known["n2"] = n1, n2
	f.put("drains/n3", core.DrainRecord{By: "maria"})
	f.put("lease", core.LeaseRecord{Holder: "n1", Term: 4, LSN: 0x5000000, Sync: core.SyncSet{Members: []string{"n2"}, K: 1}})
	f.put("operation", core.Operation{ID: "x", Kind: core.OpRestart, Phase: core.PhaseDone})
	s, err := f.local().Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p, standby, drained := s.Members[0], s.Members[1], s.Members[2]
	if p.CommitMS != 1.5 || p.Sessions != 7 || p.SessionsMax != 97 || !p.Voter || p.Follows != "" || p.API != "127.0.0.1:1" {
		t.Errorf("primary: %+v", p)
	}
	if standby.Follows != "n1" || standby.CommitMS != 0 || !drained.Drained {
		t.Errorf("standbys: %+v %+v", standby, drained)
	}
	if s.Sync.K != 1 || s.Operation != nil || s.Last == nil || s.Last.ID != "x" || s.Paused {
		t.Errorf("%+v", s)
	}
}
