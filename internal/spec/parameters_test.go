package spec

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Holds the table against every PostgreSQL that is installed, as the server
// itself tells it: no parameter that needs a restart may be missing, and none of the
// server's may be unknown (then `config set` would refuse it).
func TestTableMatchesPostgres(t *testing.T) {
	servers, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		t.Fatal(err)
	}
	if len(servers) == 0 {
		t.Skip("no PostgreSQL is installed")
	}
	// Session or platform matters that have no place in a cluster's spec.
	left := set("exit_on_error session_replication_role")
	for _, server := range servers {
		out, err := exec.Command(server, "--describe-config").Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			fields := strings.Split(line, "\t")
			name, context := strings.ToLower(fields[0]), fields[1]
			_, owned := OwnedParameters[name]
			_, command := CommandParameters[name]
			if context == "postmaster" && !NeedsRestart(name) {
				t.Errorf("%s: %s needs a restart", server, name)
			}
			if !owned && !command && !left[name] && !openParameter(name) {
				t.Errorf("%s: %s (%s) is not in the table", server, name, context)
			}
		}
	}
}

func TestTablesAgree(t *testing.T) {
	for name := range CommandParameters {
		if reloadParameters[name] || OwnedParameters[name] != "" {
			t.Errorf("%s is in two lists", name)
		}
		if err := CheckParameter(name, "x", FromCluster); err == nil {
			t.Errorf("%s is allowed over the network", name)
		}
		if err := CheckParameter(name, "x", FromMember); err != nil {
			t.Errorf("%s in the member's file: %v", name, err)
		}
	}
	for name, reason := range OwnedParameters {
		for _, from := range []Origin{FromCluster, FromMember} {
			var e *Error
			if err := CheckParameter(name, "x", from); !errors.As(err, &e) || !strings.Contains(e.Text, reason) {
				t.Errorf("%s from %d: %v", name, from, err)
			}
		}
		if reloadParameters[name] {
			t.Errorf("%s is in two lists", name)
		}
	}
	for name := range restartParameters {
		if reloadParameters[name] {
			t.Errorf("%s is in two lists", name)
		}
	}
	for name := range DefaultCluster().Postgres.Parameters {
		if Ordered(name) && !NeedsRestart(name) {
			t.Errorf("%s is ordered without a restart", name)
		}
	}
}

func TestCheckParameterOpenClasses(t *testing.T) {
	for name, want := range map[string]bool{
		"pg_stat_statements.track": true, "auto_explain.log_min_duration": true, "work_mem": true, "io_method": true,
		"pg_stat_statements": false, "pg_stat_statementsx.a": false, "a.b.c": false, "my.extension": false, "": false, "include": false, "work_mem ": false,
	} {
		if err := CheckParameter(name, "1", FromCluster); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := CheckParameter("my.extension", "1", FromMember); err != nil {
		t.Errorf("an extension's parameter in the member's file: %v", err)
	}
}
