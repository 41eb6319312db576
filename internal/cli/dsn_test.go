package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/store/records"
)

func TestDSNTranscript(t *testing.T) {
	c := newCluster(t)
	c.put(records.MemberPrefix+"n3", core.MemberRecord{Name: "n3", Ordinal: 3, Address: "fd00::3", APIPort: 7432, PGPort: 5433})
	c.put(records.MemberPrefix+"w1", core.MemberRecord{Name: "w1", Ordinal: 4, Address: "10.0.0.9", Witness: true})
	c.transcript("dsn", "dsn", "dsn --user app --database app --sslrootcert /etc/ssl/pgherd.crt",
		"dsn --read-only --user a@b --database my/db", "dsn --format pgx --user app --database app --sslrootcert /x", "dsn --format pgx --read-only --user a'b --sslrootcert /x",
		"dsn --format jdbc --user app --database app --sslrootcert /x", "dsn --format jdbc --read-only --sslrootcert /x",
		"dsn --format service --user app --database app --sslrootcert /x", "dsn --format service --read-only --sslrootcert /x",
		"dsn --endpoints", "dsn --format odbc", "dsn now")
	c.put(records.PoolerPrefix+"n1", core.PoolerRecord{Name: "n1", Address: "10.0.0.1", RWPort: 6432, ROPort: 6433})
	c.put(records.PoolerPrefix+"n2", core.PoolerRecord{Name: "n2", Address: "10.0.0.2", RWPort: 6432})
	c.transcript("dsn-endpoints", "dsn --endpoints --user app --database app --sslrootcert /x", "dsn --endpoints --read-only --sslrootcert /x",
		"dsn --endpoints --format pgx --sslrootcert /x", "dsn --endpoints --format jdbc --sslrootcert /x", "dsn --endpoints --read-only --format jdbc --sslrootcert /x")
}

// TestDSNIsUnderstoodByPgx: names that need quoting come out as they went in. What libpq makes of it is for
// the integration tests, which connect.
func TestDSNIsUnderstoodByPgx(t *testing.T) {
	c := newCluster(t)
	c.put(records.MemberPrefix+"n2", core.MemberRecord{Name: "n2", Ordinal: 2, Address: "fd00::2", APIPort: 7432, PGPort: 5433})
	root := filepath.Join(c.dir, `a b'&c+d.crt`)
	c.must(os.WriteFile(root, mustRead(t, c.pki().CACert()), 0o644))
	stdout, stderr, code := c.run("dsn", "--format", "pgx", "--user", `a b@c:d\'`, "--database", "x/y?z= %", "--sslrootcert", root)
	if code != 0 || stderr != "" {
		t.Fatal(stdout, stderr, code)
	}
	got, err := pgx.ParseConfig(strings.TrimSpace(stdout))
	if err != nil {
		t.Fatal(err)
	}
	if got.User != `a b@c:d\'` || got.Database != "x/y?z= %" || got.Host != "10.0.0.1" || len(got.Fallbacks) != 2 || got.Fallbacks[0].Host != "fd00::2" || got.Fallbacks[0].Port != 5433 || got.TLSConfig == nil || got.TLSConfig.ServerName != "10.0.0.1" || got.ConnectTimeout != 2*time.Second || len(got.RuntimeParams) != 0 {
		t.Errorf("%+v", got.Config)
	}
	var j DSNAnswer
	stdout, _, _ = c.run("dsn", "--json")
	if err := json.Unmarshal([]byte(stdout), &j); err != nil || !strings.HasPrefix(j.DSN, "postgresql://10.0.0.1:5432,") {
		t.Errorf("%s: %v", stdout, err)
	}
	if _, stderr, code := c.run("dsn", "--user", "a\nb"); code != ExitUsage || !strings.Contains(stderr, "control character") {
		t.Errorf("%d %s", code, stderr)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tick is what n1's loop sees: leader leads, unless it is "".
func (c *cluster) tick(term uint64, leader string) {
	v := core.View{Self: "n1", Store: core.StoreView{Known: true, Lease: core.LeaseRecord{Holder: leader, Term: term}, Cluster: core.ClusterRecord{ID: clusterID, SystemID: "7"}}}
	for i, name := range []string{"n1", "n2"} {
		v.Store.Members = append(v.Store.Members, core.MemberRecord{Name: name, Ordinal: i + 1, Address: "10.0.0.1", PGPort: 5432})
	}
	running := func(name string) core.Instance {
		return core.Instance{State: core.StateRunning, Primary: name == leader, Streaming: leader != "" && name != leader}
	}
	v.Local.Instance = running("n1")
	v.Peers = []core.Peer{{Name: "n2", Known: true, Instance: running("n2")}}
	c.journal.Record(journal.Entry{At: now, View: v})
}

func TestWaitTranscript(t *testing.T) {
	c := newCluster(t)
	c.transcript("wait-nothing", "wait --for writable --timeout 50ms", "wait", "wait --for member", "wait --for writable=n1", "wait --for writable --timeout 0s")
	c.tick(3, "")
	c.waitWatched()
	c.transcript("wait-starting", "wait --for readable", "wait --for writable --timeout 50ms", "wait --for member=n2 --timeout 50ms", "wait --for primary=n1 --timeout 50ms")
	c.tick(4, "n1")
	c.waitFor("primary=n1")
	c.transcript("wait", "wait --for writable", "wait --for readable", "wait --for healthy", "wait --for member=n1", "wait --for member=n2",
		"wait --for primary=n2 --timeout 50ms", "wait --for member=n9 --timeout 50ms")
}

// TestHealthyWaitsForTheVotes: a store with fewer votes than members bears fewer losses than a healthy cluster is to.
func TestHealthyWaitsForTheVotes(t *testing.T) {
	c := newCluster(t, func(b *api.Backend) { b.Voting = func() ([]string, bool) { return []string{"n1"}, true } })
	c.tick(4, "n1")
	c.waitFor("primary=n1")
	_, stderr, code := c.run("wait", "--for", "healthy", "--timeout", "50ms")
	if code != ExitFailed || !strings.Contains(stderr, "n2: no vote in the store yet") {
		t.Errorf("%d %s", code, stderr)
	}
}

// waitWatched returns when the watch has something to say.
func (c *cluster) waitWatched() { c.waitFor("readable") }

func (c *cluster) waitFor(what string) {
	c.t.Helper()
	if stdout, stderr, code := c.run("wait", "--for", what, "--timeout", "5s"); code != 0 {
		c.t.Fatal(what, stdout, stderr, code)
	}
}

// TestWaitFollowsTheEvents: it ends when it becomes so, not at a next look.
func TestWaitFollowsTheEvents(t *testing.T) {
	c := newCluster(t)
	c.tick(3, "n2")
	ended := make(chan string)
	go func() {
		stdout, stderr, _ := c.run("wait", "--for", "primary=n1", "--timeout", "10s")
		ended <- stdout + stderr
	}()
	c.waitFor("primary=n2")
	c.tick(4, "n1")
	began := time.Now()
	if got := <-ended; got != "primary=n1: n1 accepts writes (ready, term 4)\n" {
		t.Errorf("%q", got)
	}
	if took := time.Since(began); took > waitAgain {
		t.Errorf("it took %v", took)
	}
}

func TestWaitWithoutAnAgent(t *testing.T) {
	c := newCluster(t)
	gone := filepath.Join(c.dir, "other.yaml")
	m := c.m
	m.StateDir = filepath.Join(c.dir, "gone")
	c.must(os.WriteFile(gone, m.YAML(), 0o644))
	_, stderr, code := run("", "wait", "--for", "writable", "--timeout", "100ms", "--config", gone)
	if code != ExitFailed || !strings.Contains(stderr, "no agent answers") || !strings.Contains(stderr, "hint: start it") {
		t.Errorf("%d %s", code, stderr)
	}
}
