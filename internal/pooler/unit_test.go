package pooler

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	program := func(name, script string) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
		return path
	}
	good := program("good", "echo PgBouncer 1.25.2")
	old := program("old", "echo PgBouncer 1.18.0")
	odd := program("odd", "echo nothing; exit 1")
	for bin, want := range map[string]error{good: nil, old: ErrTooOld, filepath.Join(dir, "none"): ErrMissing} {
		if _, _, err := Find(bin); !errors.Is(err, want) {
			t.Errorf("%s: %v", bin, err)
		}
	}
	if _, _, err := Find(odd); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("a program that fails: %v", err)
	}
	usual := places
	defer func() { places = usual }()
	t.Setenv("PATH", t.TempDir())
	places = []string{filepath.Join(dir, "none"), old, good}
	if path, v, err := Find(""); path != good || (v != Version{1, 25, 2}) || err != nil {
		t.Errorf("found %s %s %v", path, v, err)
	}
	places = []string{filepath.Join(dir, "none"), old}
	if _, _, err := Find(""); !errors.Is(err, ErrTooOld) || !strings.Contains(err.Error(), old) {
		t.Errorf("only an old one: %v", err)
	}
	places = nil
	if _, _, err := Find(""); !errors.Is(err, ErrMissing) {
		t.Errorf("none: %v", err)
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]Version{"PgBouncer 1.25.2": {1, 25, 2}, "PgBouncer 1.26\nlibevent 2.1.13": {1, 26, 0}, "PgBouncer 2.0.1rc1": {2, 0, 1}} {
		if v, ok := parseVersion(text); !ok || v != want {
			t.Errorf("%q: %v", text, v)
		}
	}
	if _, ok := parseVersion("libevent 2.1.13"); ok {
		t.Error("no PgBouncer was taken for one")
	}
	if !(Version{2, 0, 0}).AtLeast(1, 21) || (Version{1, 20, 9}).AtLeast(1, 21) || !(Version{1, 21, 0}).AtLeast(1, 21) {
		t.Error("the order of versions is wrong")
	}
}

func goodConfig() Config {
	return Config{Dir: "/run/pgherd/rw", Listen: "10.0.0.1:6432", CertFile: "/k/node.crt", KeyFile: "/k/node.key", CAFile: "/k/ca.crt",
		AuthUser: "lookup", AuthDB: "postgres", AuthQuery: "SELECT a, b FROM f($1)"}
}

func TestRender(t *testing.T) {
	c := goodConfig()
	text := string(c.render(usable([]Target{{"n2", 5432}, {"10.0.0.1", 5432}, {"n2", 5432}})))
	for _, want := range []string{"\n* = host=10.0.0.1,n2 port=5432\n", "\nlisten_addr = 10.0.0.1\n", "\nlisten_port = 6432\n", "\nunix_socket_dir = /run/pgherd/rw\n",
		"\nclient_tls_sslmode = require\n", "\nserver_tls_sslmode = verify-ca\n", "\nauth_query = SELECT a, b FROM f($1)\n", "\npool_mode = transaction\n",
		"\nserver_login_retry = 0.1\n", "\nquery_wait_timeout = 30\n", "\nmax_prepared_statements = 200\n", "\ntcp_user_timeout = 4000\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in\n%s", want, text)
		}
	}
	for _, bad := range []string{"server_round_robin", "server_fast_close", "admin_users", "auth_file"} {
		if strings.Contains(text, bad) {
			t.Errorf("%s in\n%s", bad, text)
		}
	}
	c.ReadOnly = true
	c.Settings = Settings{Mode: "session", PoolSize: 5, MaxClients: 7, MaxServers: 9, QueryWait: 1500 * time.Millisecond}
	text = string(c.render(nil))
	for _, want := range []string{"\n* = host=/run/pgherd/rw/nowhere port=1\n", "\nserver_round_robin = 1\n", "\nserver_lifetime = 300\n", "\nserver_fast_close = 1\n",
		"\npool_mode = session\n", "\ndefault_pool_size = 5\n", "\nmax_client_conn = 7\n", "\nmax_db_connections = 9\n", "\nquery_wait_timeout = 1.5\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in\n%s", want, text)
		}
	}
}

func TestRefusals(t *testing.T) {
	if _, err := New(goodConfig()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"mode":                  func(c *Config) { c.Settings.Mode = "statement" },
		"directory":             func(c *Config) { c.Dir = "relative" },
		"directory with a line": func(c *Config) { c.Dir = "/a\nadmin_users = x" },
		"long directory":        func(c *Config) { c.Dir = "/" + strings.Repeat("a", 100) },
		"certificate":           func(c *Config) { c.CertFile = "" },
		"query":                 func(c *Config) { c.AuthQuery = "SELECT 1\nauth_type = any" },
		"role":                  func(c *Config) { c.AuthUser = "" },
		"listen without port":   func(c *Config) { c.Listen = "10.0.0.1" },
		"listen without host":   func(c *Config) { c.Listen = ":6432" },
		"port 0":                func(c *Config) { c.Listen = "*:0" },
		"listen with a line":    func(c *Config) { c.Listen = "a\nb:1" },
	} {
		c := goodConfig()
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for _, bad := range []Target{{"", 1}, {"a,b", 1}, {"/tmp", 1}, {"a b=c", 1}, {"a\nb", 1}, {"a", 0}, {"a", 65536}} {
		if checkTargets([]Target{bad}) == nil {
			t.Errorf("target %v was accepted", bad)
		}
	}
	if err := checkTargets([]Target{{"fe80::1", 5432}, {"n1.example.org", 5432}, {"10.0.0.1", 1}}); err != nil {
		t.Error(err)
	}
}

func TestUsable(t *testing.T) {
	got := usable([]Target{{"c", 2}, {"a", 1}, {"b", 2}, {"c", 2}})
	if !slices.Equal(got, []Target{{"b", 2}, {"c", 2}}) {
		t.Errorf("of two ports the more frequent is used: %v", got)
	}
	if got := usable(nil); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
}

func TestLogIsTrimmed(t *testing.T) {
	c := goodConfig()
	c.Dir = t.TempDir()
	check(t, os.WriteFile(c.path(logFile), make([]byte, logBytesMax), 0o600))
	c.trimLog()
	if info := must(os.Stat(c.path(logFile)))(t); info.Size() != 0 {
		t.Errorf("%d bytes are left", info.Size())
	}
	if info := must(os.Stat(c.path(logFile + ".1")))(t); info.Size() != logBytesMax || info.Mode().Perm() != 0o600 {
		t.Errorf("kept: %v", info)
	}
}

// What was written is read back by the next owner.
func TestTargetsAreReadBack(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Listen: "127.0.0.1:6432", CertFile: "/c", KeyFile: "/k", CAFile: "/a", AuthUser: "u", AuthDB: "d", AuthQuery: "q"}
	if got := cfg.written(); got != nil {
		t.Errorf("no file: %v", got)
	}
	for _, want := range [][]Target{nil, {{"10.0.0.1", 5432}}, {{"db1.example.org", 5432}, {"fe80::1", 5432}}} {
		check(t, cfg.writeINI(cfg.render(want)))
		if got := cfg.written(); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}
