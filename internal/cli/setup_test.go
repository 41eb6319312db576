package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/agent"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/test/ports"
)

// flags are a member's of its own, below dir.
func flags(t *testing.T, dir, name string) []string {
	free := []int{ports.Free(t), ports.Free(t), ports.Free(t), ports.Free(t)}
	return []string{"--config", filepath.Join(dir, name+".yaml"), "--name", name, "--address", "127.0.0.1", "--state-dir", filepath.Join(dir, name),
		"--api-port", strconv.Itoa(free[0]), "--listen-peer", fmt.Sprintf("127.0.0.1:%d", free[1]), "--listen-store", fmt.Sprintf("127.0.0.1:%d", free[2]),
		"--pg-port", strconv.Itoa(free[3]), "--no-endpoints"}
}

// with appends flags, of which the last one of a name counts.
func with(args []string, more ...string) []string {
	return append(append([]string{}, args...), more...)
}

func TestInit(t *testing.T) {
	dir := shortDir(t)
	args := with(flags(t, dir, "n1"), "--cluster", "demo", "--zone", "a")
	stdout, stderr, code := run("", with([]string{"init", "--json"}, args...)...)
	if code != ExitDone {
		t.Fatalf("%d %s", code, stderr)
	}
	var r SetupResult
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Cluster != "demo" || r.Member != "n1" || r.Ordinal != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	m, err := spec.Load(r.Config)
	if err != nil || m.Name != "n1" || m.Tags.Zone != "a" || m.Postgres.BinDir == "" {
		t.Fatalf("%+v %v", m, err)
	}
	id, err := agent.LoadIdentity(r.StateDir)
	if err != nil || !id.First || id.ClusterID != r.ID || len(id.Seeds) != 1 || id.Seeds[0].PGPort != m.Postgres.Port {
		t.Fatalf("%+v %v", id, err)
	}
	if c, err := spec.ParseCluster([]byte(id.Spec)); err != nil || c.SyncStandbys != 1 {
		t.Fatalf("spec: %v", err)
	}
	cert, err := pki.NodeCertificate(pki.Dir(filepath.Join(r.StateDir, "pki")))
	if err != nil || cert.VerifyHostname("127.0.0.1") != nil {
		t.Fatalf("certificate: %v", err)
	}
	ownedAndSecret(t, r.StateDir)

	_, stderr, code = run("", with([]string{"init"}, args...)...)
	if code != ExitRefused || !strings.Contains(stderr, "belongs to a member already") || !strings.Contains(stderr, "\nhint: ") {
		t.Errorf("init twice: %d %s", code, stderr)
	}
	_, stderr, code = run("", with([]string{"init"}, with(args, "--state-dir", filepath.Join(dir, "other"))...)...)
	if code != ExitRefused || !strings.Contains(stderr, "n1.yaml exists already") {
		t.Errorf("init over another's file: %d %s", code, stderr)
	}
}

// ownedAndSecret: under root all belongs to postgres; nobody else reads it.
func ownedAndSecret(t *testing.T, stateDir string) {
	t.Helper()
	err := filepath.Walk(stateDir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if st := info.Sys().(*syscall.Stat_t); os.Getuid() == 0 && st.Uid == 0 {
			t.Errorf("%s belongs to root", path)
		}
		if info.Mode()&os.ModeSymlink == 0 && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestInitRefusals(t *testing.T) {
	dir := shortDir(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	full, data := filepath.Join(dir, "full"), filepath.Join(dir, "pgdata")
	for path, text := range map[string]string{filepath.Join(full, "x"): "", filepath.Join(data, "PG_VERSION"): "15\n", filepath.Join(dir, "bad.yaml"): "leese: {}\n"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := flags(t, dir, "n1")
	for name, c := range map[string]struct {
		more []string
		code int
		says string
	}{
		"no name":            {[]string{"--name", ""}, ExitUsage, "name: the name is empty"},
		"bad name":           {[]string{"--name", "N 1"}, ExitUsage, `name "N 1"`},
		"bad address":        {[]string{"--address", "0.0.0.0"}, ExitUsage, "others cannot dial it"},
		"relative directory": {[]string{"--state-dir", "here"}, ExitUsage, "is not absolute"},
		"relative file":      {[]string{"--config", "here.yaml"}, ExitUsage, "is not absolute"},
		"bad cluster name":   {[]string{"--cluster", "My Cluster"}, ExitUsage, `--cluster "My Cluster"`},
		"one port twice":     {[]string{"--peer-port", "7000", "--store-port", "7000", "--listen-peer", "", "--listen-store", ""}, ExitUsage, "is also that of"},
		"wrong spec":         {[]string{"--spec", filepath.Join(dir, "bad.yaml")}, ExitUsage, `unknown key "leese"`},
		"no spec":            {[]string{"--spec", filepath.Join(dir, "none.yaml")}, ExitUsage, "--spec: "},
		"witness":            {[]string{"--witness"}, ExitRefused, "the first member cannot be a witness"},
		"data there":         {[]string{"--data-dir", data}, ExitRefused, "holds PostgreSQL's data already"},
		"not empty":          {[]string{"--data-dir", full}, ExitRefused, "is not empty"},
		"WAL not empty":      {[]string{"--wal-dir", full}, ExitRefused, "the WAL directory"},
		"port taken":         {[]string{"--listen-api", busy.Addr().String()}, ExitRefused, "address already in use"},
		"no PostgreSQL":      {[]string{"--bin-dir", dir}, ExitRefused, "postgres"},
	} {
		stdout, stderr, code := run("", with([]string{"init"}, with(args, c.more...)...)...)
		if code != c.code || !strings.Contains(stderr, "error: ") || !strings.Contains(stderr, c.says) || stdout != "" {
			t.Errorf("%s: %d %q %q, want %d and %q", name, code, stdout, stderr, c.code, c.says)
		}
	}
	if os.Getuid() == 0 {
		for user, says := range map[string]string{"nobody-such": "unknown user", "root": "PostgreSQL refuses to run as root"} {
			if _, stderr, code := run("", with([]string{"init"}, with(args, "--user", user)...)...); code != ExitRefused || !strings.Contains(stderr, says) {
				t.Errorf("--user %s: %d %s", user, code, stderr)
			}
		}
	}
	if agent.HasIdentity(filepath.Join(dir, "n1")) {
		t.Fatal("a refusal wrote something")
	}
	_, stderr, code := run("", with([]string{"init"}, with(args, "--address", "192.0.2.7")...)...)
	if code != ExitDone || !strings.Contains(stderr, "warning: 192.0.2.7 is not an address of this machine") {
		t.Errorf("another machine's address: %d %s", code, stderr)
	}
}

// TestInitAfterCrash stops a first init at several points; the second one completes.
func TestInitAfterCrash(t *testing.T) {
	for name, undo := range map[string]func(state, config string){
		"before the keys": func(state, config string) {
			os.RemoveAll(filepath.Join(state, "pki"))
			os.Remove(filepath.Join(state, "cluster.json"))
			os.Remove(config)
		},
		"before the identity": func(state, config string) { os.Remove(filepath.Join(state, "cluster.json")); os.Remove(config) },
		"before the file":     func(_, config string) { os.Remove(config) },
		"before the end":      func(_, _ string) {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			state, config := filepath.Join(dir, "n1"), filepath.Join(dir, "n1.yaml")
			args := with([]string{"init"}, flags(t, dir, "n1")...)
			if _, stderr, code := run("", args...); code != ExitDone {
				t.Fatal(stderr)
			}
			undo(state, config)
			if err := agent.BeginSetup(state, config); err != nil {
				t.Fatal(err)
			}
			if _, err := agent.LoadIdentity(state); err == nil {
				t.Fatal("an unfinished member would run")
			}
			if _, stderr, code := run("", args...); code != ExitDone {
				t.Fatalf("again: %d %s", code, stderr)
			}
			if _, err := agent.LoadIdentity(state); err != nil {
				t.Fatal(err)
			}
			ownedAndSecret(t, state)
		})
	}
}

func TestJoin(t *testing.T) {
	c := newCluster(t)
	token, _, code := c.run("token", "create")
	if code != ExitDone || strings.Count(token, "\n") != 1 {
		t.Fatalf("%d %q", code, token)
	}
	to, args := c.s.Addr().String(), flags(t, c.dir, "n4")
	stdout, stderr, code := run(token, with([]string{"join", to, "--token-file", "-"}, args...)...)
	if code != ExitDone || !strings.Contains(stdout, "n4 is a member of cluster main now") {
		t.Fatalf("%d %q %q", code, stdout, stderr)
	}
	state := filepath.Join(c.dir, "n4")
	id, err := agent.LoadIdentity(state)
	if err != nil || id.First || id.ClusterID != clusterID || id.Ordinal != 4 || len(id.Seeds) != 4 || id.Spec != "" {
		t.Fatalf("%+v %v", id, err)
	}
	theirs, err := pki.LoadCA(c.pki())
	c.must(err)
	ours, err := pki.LoadCA(pki.Dir(filepath.Join(state, "pki")))
	if err != nil || ours.Fingerprint() != theirs.Fingerprint() {
		t.Fatalf("CA: %v", err)
	}
	ownedAndSecret(t, state)
	if data, _ := os.ReadFile(filepath.Join(c.dir, "n4.yaml")); strings.Contains(string(data), "token") {
		t.Error("the token is in the file")
	}
	again, _, _ := c.run("token", "create")
	_, stderr, code = run(again, with([]string{"join", to, "--token-file", "-"}, args...)...)
	if code != ExitRefused || !strings.Contains(stderr, "belongs to a member already") {
		t.Errorf("join twice: %d %s", code, stderr)
	}
}

func TestJoinRefusals(t *testing.T) {
	c, other := newCluster(t), newCluster(t)
	to, args := c.s.Addr().String(), flags(t, c.dir, "n4")
	create := func(c *cluster) string {
		token, stderr, code := c.run("token", "create")
		if code != ExitDone {
			t.Fatal(stderr)
		}
		return strings.TrimSpace(token)
	}
	used := create(c)
	if _, stderr, code := run("", with([]string{"join", to, "--token", used}, flags(t, c.dir, "n5")...)...); code != ExitDone {
		t.Fatal(stderr)
	}
	expired, record, err := newToken(t, c)
	c.must(err)
	c.put(records.TokenPrefix+record.ID, record)
	full := filepath.Join(c.dir, "full")
	c.must(os.MkdirAll(filepath.Join(full, "base"), 0o755))
	c.must(os.WriteFile(filepath.Join(full, "PG_VERSION"), []byte("15\n"), 0o644))
	for name, x := range map[string]struct {
		to, token string
		more      []string
		code      int
		says      string
	}{
		"no token":            {to, "", nil, ExitUsage, "the join token is missing"},
		"malformed token":     {to, "x.y", nil, ExitUsage, "not a join token"},
		"not HOST:PORT":       {"10.0.0.1", create(c), nil, ExitUsage, "want HOST:PORT"},
		"used token":          {to, used, nil, ExitRefused, "was used already, by n5"},
		"expired token":       {to, expired, nil, ExitRefused, "has expired"},
		"other cluster":       {other.s.Addr().String(), create(c), nil, ExitRefused, "does not belong to the cluster of the token"},
		"same name":           {to, create(c), []string{"--name", "n2"}, ExitRefused, "a member is called n2 already"},
		"unreachable address": {to, create(c), []string{"--address", "192.0.2.7"}, ExitRefused, "cannot reach the joining member at 192.0.2.7"},
		"other's data":        {to, create(c), []string{"--data-dir", full}, ExitRefused, "holds PostgreSQL's data already"},
		"nobody there":        {"127.0.0.1:1", create(c), nil, ExitFailed, "no agent answers"},
	} {
		call := with([]string{"join", x.to}, with(args, x.more...)...)
		if x.token != "" {
			call = append(call, "--token", x.token)
		}
		_, stderr, code := run("", call...)
		if code != x.code || !strings.Contains(stderr, x.says) {
			t.Errorf("%s: %d %q, want %d and %q", name, code, stderr, x.code, x.says)
		}
		if x.token != "" && strings.Contains(stderr, x.token[max(0, len(x.token)-20):]) && len(x.token) > 20 {
			t.Errorf("%s: the secret is printed", name)
		}
	}
	s, err := c.store.Snapshot(context.Background())
	c.must(err)
	if _, ok := s.Entries[records.MemberPrefix+"n4"]; ok || agent.HasIdentity(filepath.Join(c.dir, "n4")) {
		t.Error("a refusal left something")
	}
	var n5 core.MemberRecord
	if err := json.Unmarshal(s.Entries[records.MemberPrefix+"n5"].Value, &n5); err != nil || n5.Ordinal != 4 {
		t.Errorf("%+v %v", n5, err)
	}
}

// newToken makes one that ended an hour ago.
func newToken(t *testing.T, c *cluster) (string, pki.TokenRecord, error) {
	t.Helper()
	ca, err := pki.LoadCA(c.pki())
	c.must(err)
	return pki.NewToken(ca.Fingerprint(), time.Now().Add(-2*time.Hour), time.Hour, "member")
}

func TestRunPassesOptions(t *testing.T) {
	c := newCluster(t)
	before := Run
	defer func() { Run = before }()
	var got agent.Options
	Run = func(_ context.Context, o agent.Options) error { got = o; return agent.ErrUnfinished }
	_, stderr, code := c.run("run", "--detach-on-exit")
	if code != ExitFailed || strings.Count(stderr, "error: ") != 1 || got.ConfigPath != c.config || !got.DetachOnExit || got.Config.Name != "n1" || got.Log == nil {
		t.Fatalf("%d %q %+v", code, stderr, got)
	}
}
