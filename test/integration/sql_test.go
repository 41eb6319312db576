package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// password is the test role's. It must never be seen in any log: see TestSecretsStaySecret.
const password = "PaSSw0rd-of-the-tests"

// appRole makes the role that the tests connect as, over the owner's socket.
func (c *cluster) appRole(primary *member) {
	c.t.Helper()
	primary.psql("SET log_statement = none; SET log_min_error_statement = panic; CREATE ROLE app LOGIN SUPERUSER PASSWORD '" + password + "'; CREATE DATABASE app OWNER app")
}

// psql is the administrator on the member itself: the script goes by stdin.
func (m *member) psql(script string) string {
	m.c.t.Helper()
	cmd := exec.Command(filepath.Join(binDir, "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", filepath.Join(m.dir, "run"), "-p", strconv.Itoa(m.pg), "-d", "postgres", "-f", "-")
	cmd.Dir, cmd.SysProcAttr, cmd.Stdin = "/", &syscall.SysProcAttr{Credential: owner.cred}, strings.NewReader(strings.ReplaceAll(script, "; ", ";\n"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.c.t.Fatalf("psql on %s: %v\n%s", m.name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// dsn is for some members; session is target_session_attrs.
func dsn(session string, members ...*member) string {
	hosts := make([]string, len(members))
	for i, m := range members {
		hosts[i] = m.at(m.pg)
	}
	return "postgresql://app:" + url.QueryEscape(password) + "@" + strings.Join(hosts, ",") + "/app?sslmode=require&connect_timeout=2&target_session_attrs=" + session
}

func connect(ctx context.Context, session string, members ...*member) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn(session, members...))
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(ctx, config)
}

// query gives one text value from one member.
func (c *cluster) query(m *member, sql string, args ...any) (value string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := connect(ctx, "any", m)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql, args...).Scan(&value)
	return value, err
}

// must is query on a member that has to answer.
func (c *cluster) must(m *member, sql string, args ...any) string {
	c.t.Helper()
	v, err := c.query(m, sql, args...)
	if err != nil {
		c.t.Fatalf("%s on %s: %v", sql, m.name, err)
	}
	return v
}

// exec runs SQL without a result on one member.
func (c *cluster) exec(m *member, sql string, args ...any) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := connect(ctx, "any", m)
	if err == nil {
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, sql, args...)
	}
	if err != nil {
		c.t.Fatalf("%s on %s: %v", sql, m.name, err)
	}
}

// isPrimary: it answers and accepts writes.
func (c *cluster) isPrimary(m *member) bool {
	v, err := c.query(m, "SELECT (NOT pg_is_in_recovery())::text")
	return err == nil && v == "true"
}

// event is one line of `pgherd events --json`.
type event struct {
	At                           time.Time
	Member, Code, Severity, Text string
}

func (m *member) events() []event {
	var e struct{ Events []event }
	a := m.try("events", "--json", "--limit", "2000")
	_ = json.Unmarshal([]byte(a.stdout), &e)
	return e.Events
}

// eventsSince gives those after an instant as lines.
func (m *member) eventsSince(at time.Time) (lines []string) {
	for _, e := range m.events() {
		if e.At.After(at) {
			lines = append(lines, fmt.Sprintf("%s %s: %s", e.Member, e.Code, e.Text))
		}
	}
	return lines
}

// expectEvent fails unless a line since then holds all the words; it waits a moment.
func (c *cluster) expectEvent(from *member, since time.Time, words ...string) {
	c.t.Helper()
	c.wait(10*time.Second, "an event with "+strings.Join(words, ", "), func() bool {
		for _, line := range from.eventsSince(since) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return true
			}
		}
		return false
	})
}
