package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/test/ports"
)

// TestHAProxy: the real HAProxy, with the configuration that is shipped, leads writers to the primary and readers to
// standbys, goes after a switchover, and ends the sessions of the member that is primary no more.
func TestHAProxy(t *testing.T) {
	c := shared(t)
	old := c.waitSync()
	writes, reads := c.haproxy()
	c.wait(20*time.Second, "HAProxy leads to the primary", func() bool { return led(writes) == old.name })
	c.wait(20*time.Second, "HAProxy leads to a standby", func() bool { name := led(reads); return name != "" && name != old.name })

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	session, err := pgx.Connect(ctx, haproxyDSN(writes))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(context.Background())
	old.do("switchover")
	leader := c.waitHealthy()
	if leader == old {
		t.Fatal("the primary did not move")
	}
	c.wait(20*time.Second, "HAProxy leads to the new primary", func() bool { return led(writes) == leader.name })
	if _, err := session.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("the session to the former primary lives on")
	}
	c.wait(20*time.Second, "HAProxy leads to the standbys as they are now", func() bool {
		for range 4 { // both are reached, the former primary among them
			if name := led(reads); name == old.name {
				return true
			}
		}
		return false
	})
	for range 8 {
		if name := led(reads); name == leader.name {
			t.Error("a reader was led to the primary")
		}
	}
}

// haproxy runs it until the test's end and gives the ports for writes and reads.
func (c *cluster) haproxy() (writes, reads int) {
	c.t.Helper()
	text, err := os.ReadFile("../../deploy/haproxy/haproxy.cfg")
	if err != nil {
		c.t.Fatal(err)
	}
	writes, reads = ports.Free(c.t), ports.Free(c.t)
	dir := c.t.TempDir()
	ca, err := os.ReadFile(filepath.Join(c.members[0].dir, "pki", "ca.crt"))
	if err != nil {
		c.t.Fatal(err)
	}
	change := []string{"127.0.0.1:5000", at(writes), "127.0.0.1:5001", at(reads), "/etc/haproxy/pgherd-ca.crt", filepath.Join(dir, "ca.crt")}
	for i, m := range c.members {
		was := fmt.Sprintf("10.0.0.%d:5432 port 7432", i+1)
		if !strings.Contains(string(text), was) {
			c.t.Fatalf("the configuration has no %s", was)
		}
		change = append(change, was, fmt.Sprintf("%s port %d", m.at(m.pg), m.api))
	}
	conf := filepath.Join(dir, "haproxy.cfg")
	for path, data := range map[string]string{filepath.Join(dir, "ca.crt"): string(ca), conf: strings.NewReplacer(change...).Replace(string(text))} {
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
	c.beside("HAProxy", exec.Command(tool("haproxy"), "-db", "-f", conf))
	return writes, reads
}

func haproxyDSN(port int) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=app password=%s dbname=app sslmode=require connect_timeout=3", port, password)
}

// led names the member that a new connection is led to, by its data directory; "" when there is none.
func led(port int) (name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, haproxyDSN(port))
	if err != nil {
		return ""
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(ctx, "SELECT setting FROM pg_settings WHERE name = 'data_directory'").Scan(&name); err != nil {
		return ""
	}
	return filepath.Base(filepath.Dir(name))
}
