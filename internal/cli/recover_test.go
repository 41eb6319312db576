package cli

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/rebuild"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
)

// lostStore is what three members have whose shares of the store are gone.
func lostStore(t *testing.T) map[string]rebuild.Answer {
	saved := &rebuild.Saved{Revision: 100, SavedAt: "2026-11-20T02:58:00Z", Voters: []string{"n1", "n2", "n3"}, Entries: map[string]rebuild.Raw{}}
	put := func(key string, record any) {
		data, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		saved.Entries[key] = data
	}
	put(records.KeyCluster, core.ClusterRecord{ID: clusterID, Name: "main", SystemID: "7"})
	put(records.KeySpec, spec.DefaultCluster())
	put(records.KeyLease, core.LeaseRecord{Holder: "n1", Term: 4, Timeline: 2, Sync: core.SyncSet{Members: []string{"n2", "n3"}, K: 1}})
	answers := map[string]rebuild.Answer{}
	for i, name := range []string{"n1", "n2", "n3"} {
		put(records.MemberPrefix+name, core.MemberRecord{Name: name, Ordinal: i + 1})
		answers[name] = rebuild.Answer{Name: name, Ordinal: i + 1, ClusterID: clusterID, Share: rebuild.ShareLost, Saved: saved, Term: 4,
			Data:     core.Data{State: core.DataPresent, ClusterID: clusterID, SystemID: "7"},
			Instance: core.Instance{State: core.StateStopped, Control: "in production", Timeline: 2, LastRecord: 0x5000000}}
	}
	return answers
}

func TestRecoverTranscript(t *testing.T) {
	answers, asked := lostStore(t), rebuild.Question{}
	var c *cluster
	c = newCluster(t, func(b *api.Backend) {
		b.Recover = func(_ context.Context, q rebuild.Question, by string) (rebuild.Verdict, error) {
			q.ClusterID, asked = clusterID, q
			return rebuild.Judge(q, maps.Clone(answers)), nil
		}
	})
	n1 := c.known["n1"]
	n1.Generation = 1 // as if it were done at once
	c.known["n1"] = n1
	c.transcript("recover", "recover", "recover --confirm mian", "recover --confirm main", "recover now")
	if asked.Confirm != "main" {
		t.Errorf("asked %+v", asked)
	}
	delete(answers, "n2")
	delete(answers, "n3")
	c.transcript("recover-majority-lost", "recover", "recover --destroyed n2,n3", "recover --destroyed n2,n3 --confirm main",
		"recover --destroyed n1,n2 --confirm main", "recover --destroyed n2,n3 --confirm main --accept-loss")
	if !asked.AcceptLoss || len(asked.Destroyed) != 2 {
		t.Errorf("asked %+v", asked)
	}
	out, _, code := c.run("recover", "--json")
	var r RecoverResult
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != ExitRefused || r.Rebuilt || r.Refusal == nil || r.Refusal.Code != "silent_quorum" || len(r.Rows) != 3 {
		t.Errorf("%d %v %s", code, err, out)
	}
}

// Nobody leads, or nothing answers: two different ends.
func TestRecoverThatIsNotSeenToEnd(t *testing.T) {
	answers := lostStore(t)
	c := newCluster(t, func(b *api.Backend) {
		b.Recover = func(_ context.Context, q rebuild.Question, _ string) (rebuild.Verdict, error) {
			q.ClusterID = clusterID
			return rebuild.Judge(q, maps.Clone(answers)), nil
		}
	})
	if _, stderr, code := c.run("recover", "--confirm", "main", "--timeout", "500ms"); code != ExitUnknown || !strings.Contains(stderr, "does not answer") || !strings.Contains(stderr, "hint: ") {
		t.Errorf("no new store: %d %s", code, stderr)
	}
	c.known["n1"] = peer.Status{Name: "n1", Generation: 1}
	if _, stderr, code := c.run("recover", "--confirm", "main", "--timeout", "500ms"); code != ExitFailed || !strings.Contains(stderr, "nobody leads") {
		t.Errorf("nobody leads: %d %s", code, stderr)
	}
}
