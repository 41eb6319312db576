//go:build lab

package cluster

import (
	"context"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// SQL runs a script as the administrator does: psql over the unix socket, as the user who
// owns the data.
func (m *Member) SQL(script string) string {
	m.c.T.Helper()
	out, err := m.TrySQL(script)
	if err != nil {
		m.c.T.Fatalf("psql on %s: %v\n%s", m.Name, err, out)
	}
	return out
}

// TrySQL is SQL that may fail.
func (m *Member) TrySQL(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", filepath.Join(m.StateDir, "run"), "-p", strconv.Itoa(Port), "-d", "postgres", "-f", "-")
	cmd.Dir, cmd.SysProcAttr, cmd.Stdin = "/", asOwner(), strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// DSN is the application's connection string for these members; session is
// target_session_attrs.
func DSN(session string, members ...*Member) string {
	hosts := make([]string, len(members))
	for i, m := range members {
		hosts[i] = m.Addr()
	}
	return "postgresql://app:" + url.QueryEscape(Password) + "@" + strings.Join(hosts, ",") + "/app?sslmode=require&connect_timeout=2&target_session_attrs=" + session
}

// Connect opens one connection to one member, whatever it is.
func (m *Member) Connect(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(DSN("any", m))
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(ctx, config)
}

// Query gives one text value from one member, over TCP as a client has it.
func (m *Member) Query(sql string, args ...any) (value string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	conn, err := m.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql, args...).Scan(&value)
	return value, err
}

// Writable: it answers and is no standby.
func (m *Member) Writable() bool {
	v, err := m.Query("SELECT pg_is_in_recovery()::text")
	return err == nil && v == "false"
}
