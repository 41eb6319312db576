package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refused fails unless the answer has the code and the words, as error: and hint:.
func refused(t *testing.T, what string, a answer, code int, words ...string) {
	t.Helper()
	if a.code != code || !strings.HasPrefix(strings.TrimLeft(a.stderr, "\n"), "error: ") && !strings.Contains(a.stderr, "\nerror: ") {
		t.Errorf("%s: want exit %d and an error: line: %s", what, code, a)
	}
	for _, w := range words {
		if !strings.Contains(a.stderr, w) {
			t.Errorf("%s: %q is missing: %s", what, w, a)
		}
	}
}

func TestStatusJSONHasTheDocumentedShape(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	var s map[string]any
	if err := json.Unmarshal([]byte(p.do("status", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, promised, _ := strings.Cut(string(page), "## `pgherd status --json`")
	promised, _, _ = strings.Cut(promised, "\n## ")
	// What scripts were promised is there, and what is there was promised.
	shape := func(what string, m map[string]any, always ...string) {
		for _, key := range always {
			if _, ok := m[key]; !ok {
				t.Errorf("%s has no %q: %v", what, key, m)
			}
		}
		for key := range m {
			if !strings.Contains(promised, `"`+key+`"`) {
				t.Errorf("%s has %q, and docs/configuration.md does not say so", what, key)
			}
		}
	}
	shape("status", s, "cluster", "conditions", "id", "members", "term", "at", "sync")
	members := s["members"].([]any)
	if len(members) != 3 {
		t.Fatalf("%d members", len(members))
	}
	for _, m := range members {
		m := m.(map[string]any)
		shape("a member", m, "address", "api", "conditions", "lag_bytes", "lsn", "name", "port", "postgres_pid", "role", "state", "timeline")
		name := c.get(m["name"].(string))
		if m["postgres_pid"].(float64) != float64(name.pid("postmaster")) || m["port"].(float64) != float64(name.pg) || m["address"] != "127.0.0.1" {
			t.Errorf("%v is not what %s is", m, name.name)
		}
		if _, list := m["conditions"].([]any); !list || !strings.Contains(m["lsn"].(string), "/") || m["timeline"].(float64) < 1 {
			t.Errorf("shape of %v", m)
		}
	}
	if a := c.pgherd("status", "--json", "--config", "/nowhere/pgherd.yaml"); a.code == 0 || a.stdout != "" {
		t.Errorf("no configuration: %s", a)
	}
	refused(t, "unknown command", c.pgherd("statsu"), 2, "statsu")
	refused(t, "unknown flag", p.try("status", "--jsn"), 2, "jsn")
}

// TestSetupRefusals: whatever would make a second life of something is refused, and
// changes nothing.
func TestSetupRefusals(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	s := c.others(p)[0]
	refused(t, "init twice", c.pgherd(append([]string{"init"}, p.setupArgs()...)...), 3, p.dir)

	extra := c.spare()
	nobody := c.spare()
	refused(t, "no agent there", extra.tryJoin(nobody, p.writeToken(p.do("token", "create"))), 1, "hint: ")
	used := p.writeToken(p.do("token", "create"))
	same := *extra
	same.name = s.name
	refused(t, "a second member of one name", same.tryJoin(p, used), 3, s.name, "hint: ")
	far := extra.setupArgs()
	far[slices.Index(far, "127.0.0.1")] = "192.0.2.77" // TEST-NET-1: nobody's
	refused(t, "an unreachable address", c.pgherd(append([]string{"join", p.apiAt(), "--token-file", used}, far...)...), 3, "192.0.2.77")
	refused(t, "wrong usage", c.pgherd("join", "nonsense"), 2)
	refused(t, "a token of letters", extra.tryJoin(p, p.writeToken("hello")), 2)
	refused(t, "a wrong secret", extra.tryJoin(p, p.writeToken(wrongSecret(p.do("token", "create")))), 3, "hint: ")

	short := p.writeToken(p.do("token", "create", "--lifetime", "1s"))
	c.wait(5*time.Second, "the token's end", func() bool { return strings.Contains(same.tryJoin(p, short).stderr, "expired") })
	refused(t, "an expired token", extra.tryJoin(p, short), 3, "expired", "hint: ")

	foreign := newCluster(t)
	f := foreign.add()
	f.init()
	f.start()
	f.waitState("running")
	refused(t, "a token of another cluster", extra.tryJoin(p, f.writeToken(f.do("token", "create"))), 3)
	refused(t, "another cluster's data", extra.tryJoin(p, used, "--data-dir", f.data()), 3, f.data())

	full := filepath.Join(c.dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	refused(t, "a directory that is not empty", extra.tryJoin(p, used, "--data-dir", full), 3, "not empty")
	for flag, port := range map[string]*int{"--listen-api": &extra.api, "--listen-peer": &extra.peer, "--listen-store": &extra.store, "--pg-port": &extra.pg} {
		taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
		if err != nil {
			t.Fatal(err)
		}
		refused(t, flag+" taken", extra.tryJoin(p, used), 3, fmt.Sprint(*port), "address already in use")
		taken.Close()
	}
	if extra.exists() || len(c.status().Members) != 3 {
		t.Errorf("a refusal left something: %s", c.status())
	}
	// After so many refusals the token is as good as new, and then used.
	if a := extra.tryJoin(p, used); a.code != 0 {
		t.Fatalf("join: %s", a)
	}
	third := c.spare()
	refused(t, "a used token", third.tryJoin(p, used), 3, "used", "hint: ")
	p.do("remove", extra.name)
}

// spare is a member's place that is not counted among the cluster's.
func (c *cluster) spare() *member {
	m := c.add()
	c.members = c.members[:len(c.members)-1]
	m.name = filepath.Base(m.dir) + "x"
	m.dir, m.config = m.dir+"x", filepath.Join(c.dir, m.name+".yaml")
	_ = os.Remove(strings.TrimSuffix(m.dir, "x"))
	_ = os.RemoveAll(m.dir)
	_ = os.Remove(m.config)
	return m
}

// exists: a setup has left a file of the member.
func (m *member) exists() bool {
	_, err := os.Lstat(m.config)
	return err == nil
}

func (m *member) apiAt() string { return m.at(m.api) }

func (m *member) writeToken(text string) string {
	m.c.t.Helper()
	f, err := os.CreateTemp(m.c.dir, "token-")
	if err != nil {
		m.c.t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprint(f, text)
	return f.Name()
}

// wrongSecret changes one character in the middle of a token's secret.
func wrongSecret(token string) string {
	parts := strings.Split(strings.TrimSpace(token), ".")
	secret := []byte(parts[1])
	secret[3] = 'a' + (secret[3]+1-'a')%26
	parts[1] = string(secret)
	return strings.Join(parts, ".")
}

// TestRunRefusals: `pgherd run` ends with one clear line when it cannot start.
func TestRunRefusals(t *testing.T) {
	c := newCluster(t)
	m := c.add()
	m.init()
	good, err := os.ReadFile(m.config)
	if err != nil {
		t.Fatal(err)
	}
	run := func(what, yaml string, code int, words ...string) {
		t.Helper()
		file := filepath.Join(c.dir, "other.yaml")
		if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
			t.Fatal(err)
		}
		a := c.pgherd("run", "--config", file)
		refused(t, what, answer{a.code, "", lastError(a)}, code, words...)
	}
	run("an unknown key", strings.Replace(string(good), "state_dir:", "statedir:", 1), 1, "statedir", "state_dir", "line", "hint: ")
	run("another name", strings.Replace(string(good), "name: n1", "name: other", 1), 1, "n1", "other")
	for _, port := range []int{m.api, m.peer, m.store} {
		taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		run("a port taken", string(good), 1, fmt.Sprint(port), "address already in use")
		taken.Close()
	}
	m.start()
	m.waitState("running")
	run("twice on one state directory", string(good), 1, "another pgherd runs", m.dir)
}

// TestTwoMembersOnOneDataDirectory: a configuration that points at data which another
// member serves must not disturb that one.
func TestTwoMembersOnOneDataDirectory(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	pid := p.pid("postmaster")
	d := newCluster(t)
	d.spoil("another cluster", p, pid)
	n := c.others(p)[0]
	c.t = t
	n.signal(syscall.SIGTERM)
	n.waitEnd(30 * time.Second)
	good, _ := os.ReadFile(n.config)
	n.pointAt(p)
	n.start()
	c.wait(15*time.Second, "a word about the data directory", func() bool {
		return strings.Contains(tail(n.logFile(), 4000), "is the data of member "+p.name)
	})
	if p.pid("postmaster") != pid || n.pid("postmaster") != 0 {
		t.Errorf("the primary's postmaster %d is now %d", pid, p.pid("postmaster"))
	}
	n.signal(syscall.SIGKILL)
	n.waitEnd(5 * time.Second)
	if err := os.WriteFile(n.config, good, 0o644); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.waitState("streaming")
}

// spoil starts a cluster whose first member was pointed at the data of m.
func (c *cluster) spoil(what string, m *member, pid int) {
	c.t.Helper()
	n := c.add()
	n.init()
	n.pointAt(m)
	n.start()
	c.waitAnyCondition(20*time.Second, n.name, "data_other_cluster", "data_foreign")
	if m.pid("postmaster") != pid || n.pid("postmaster") != 0 {
		c.t.Errorf("%s: the postmaster %d is now %d", what, pid, m.pid("postmaster"))
	}
}

func (m *member) pointAt(other *member) {
	m.c.t.Helper()
	text, err := os.ReadFile(m.config)
	if err == nil {
		err = os.WriteFile(m.config, []byte(strings.Replace(string(text), m.data(), other.data(), 1)), 0o644)
	}
	if err != nil {
		m.c.t.Fatal(err)
	}
}

// lastError gives the error: and hint: lines of `pgherd run`, whose log goes to stdout.
func lastError(a answer) string {
	text := a.stdout + a.stderr
	if i := strings.Index(text, "error: "); i >= 0 {
		return text[i:]
	}
	return text
}
