//go:build versions

package versions

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/test/ports"
)

// cluster is members on loopback, each with its own agent process.
type cluster struct {
	t       testing.TB // of the test that uses it now
	dir     string
	members []*member
}

type member struct {
	c           *cluster
	name        string
	dir, config string
	ports       [4]int // PostgreSQL, API, peers, store
	agent       *exec.Cmd
	ended       chan struct{} // closed when agent ended
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgherd-v-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: dir}
	t.Cleanup(func() {
		c.t = t
		c.diagnose()
		for _, m := range c.members {
			m.powerCut()
		}
		_ = os.RemoveAll(dir)
	})
	return c
}

// add makes a member's place; nothing runs yet.
func (c *cluster) add() *member {
	c.t.Helper()
	m := &member{c: c, name: fmt.Sprintf("n%d", len(c.members)+1)}
	m.dir, m.config = filepath.Join(c.dir, m.name), filepath.Join(c.dir, m.name+".yaml")
	for i := range m.ports {
		m.ports[i] = ports.Free(c.t)
	}
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chown(m.dir, int(owner.Uid), int(owner.Gid)); err != nil {
		c.t.Fatal(err)
	}
	c.members = append(c.members, m)
	return m
}

func (m *member) setupArgs(bin string) []string {
	at := func(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.ports[i])) }
	return []string{"--name", m.name, "--address", "127.0.0.1", "--state-dir", m.dir, "--pg-port", strconv.Itoa(m.ports[0]),
		"--listen-api", at(1), "--listen-peer", at(2), "--listen-store", at(3), "--bin-dir", bin, "--watchdog", "off", "--no-endpoints"}
}

// answer is what one command of pgherd said.
type answer struct {
	code           int
	stdout, stderr string
}

func (a answer) String() string {
	return fmt.Sprintf("exit %d\nstdout: %s\nstderr: %s", a.code, a.stdout, a.stderr)
}

// try runs a command of pgherd with the member's file to its end.
func (m *member) try(args ...string) answer {
	m.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, append(args, "--config", m.config)...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = "/", &stdout, &stderr, time.Second
	_ = cmd.Run()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		m.c.t.Fatalf("pgherd %v did not run to its end", args)
	}
	return answer{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// do is try of a command that must end with 0; it gives its stdout.
func (m *member) do(args ...string) string {
	m.c.t.Helper()
	a := m.try(args...)
	if a.code != 0 {
		m.c.t.Fatalf("pgherd %s on %s: %s", strings.Join(args, " "), m.name, a)
	}
	return a.stdout
}

func (m *member) tryJoin(from *member, bin string) answer {
	m.c.t.Helper()
	file := m.dir + ".token"
	if err := os.WriteFile(file, []byte(from.do("token", "create")), 0o600); err != nil {
		m.c.t.Fatal(err)
	}
	to := fmt.Sprintf("127.0.0.1:%d", from.ports[1])
	return m.try(append([]string{"join", to, "--token-file", file}, m.setupArgs(bin)...)...)
}

// found makes the first member and waits until it takes writes.
func (c *cluster) found() *member {
	c.t.Helper()
	first := c.add()
	first.do(append([]string{"init"}, first.setupArgs(binDir)...)...)
	first.start()
	c.wait(time.Minute, "the first member to lead", func() bool { return c.status().primary() == first.name })
	first.psql("SET log_statement = none; CREATE ROLE app LOGIN SUPERUSER PASSWORD '" + password + "'; CREATE DATABASE app OWNER app")
	return first
}

// up makes a healthy cluster of n.
func (c *cluster) up(n int) {
	c.t.Helper()
	first := c.found()
	for range n - 1 {
		m := c.add()
		if a := m.tryJoin(first, binDir); a.code != 0 {
			c.t.Fatalf("join of %s: %s", m.name, a)
		}
		m.start()
	}
	c.waitHealthy()
}

func (m *member) start() {
	m.c.t.Helper()
	log, err := os.OpenFile(m.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		m.c.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(exe, "run", "--config", m.config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		m.c.t.Fatal(err)
	}
	m.agent, m.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) { _ = cmd.Wait(); close(ended) }(m.ended)
}

func (m *member) running() bool {
	if m.agent == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// powerCut kills everything of the member, the agent and the warden first, so that they
// do not see PostgreSQL die.
func (m *member) powerCut() {
	m.c.t.Helper()
	for began := time.Now(); ; {
		pids := m.processes()
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if time.Since(began) > 10*time.Second {
			m.c.t.Fatal("processes survive SIGKILL")
		}
	}
}

// processes are the member's: pgherd's own first, then PostgreSQL's.
func (m *member) processes() (pids []int) {
	var servers []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		program, err := os.Readlink("/proc/" + e.Name() + "/exe")
		if err != nil { // it has ended
			continue
		}
		args, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		cwd, _ := os.Readlink("/proc/" + e.Name() + "/cwd")
		switch {
		case program == exe && (bytes.Contains(args, []byte(m.config)) || bytes.Contains(args, []byte(m.dir))):
			pids = append(pids, pid)
		case (filepath.Dir(program) == binDir || filepath.Dir(program) == otherDir) && (strings.HasPrefix(cwd, m.dir+"/") || bytes.Contains(args, []byte(m.dir+"/"))):
			servers = append(servers, pid)
		}
	}
	return append(pids, servers...)
}

// status is `pgherd status --json` as scripts see it.
type status struct {
	Term    uint64
	Members []memberStatus
}

type memberStatus struct {
	Name, Role, State string
	Timeline          uint64
	PostgresPID       int `json:"postgres_pid"`
}

func (s status) primary() string {
	for _, m := range s.Members {
		if m.Role == "primary" && m.State == "running" {
			return m.Name
		}
	}
	return ""
}

func (s status) streams(name string) bool {
	return slices.ContainsFunc(s.Members, func(m memberStatus) bool {
		return m.Name == name && m.Role == "standby" && m.State == "streaming"
	})
}

// status asks the first member that answers.
func (c *cluster) status() (s status) {
	for _, m := range c.members {
		if m.running() {
			s = status{}
			if json.Unmarshal([]byte(m.try("status", "--json").stdout), &s) == nil && len(s.Members) > 0 {
				return s
			}
		}
	}
	return status{}
}

func (c *cluster) wait(limit time.Duration, what string, so func() bool) {
	c.t.Helper()
	for began := time.Now(); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > limit {
			c.t.Fatalf("not after %v: %s; status: %+v", limit, what, c.status())
		}
	}
}

// waitHealthy waits until one leads and accepts writes, every other one streams, the
// primary itself sees them all, and commits wait for them: losing the primary is
// survivable from now on.
func (c *cluster) waitHealthy() (primary *member) {
	c.t.Helper()
	c.wait(time.Minute, "a healthy cluster", func() bool {
		s := c.status()
		primary = c.get(s.primary())
		if primary == nil || len(s.Members) != len(c.members) {
			return false
		}
		for _, m := range c.members {
			if m != primary && !s.streams(m.name) {
				return false
			}
		}
		v, err := c.query(primary, `SELECT (NOT pg_is_in_recovery() AND current_setting('synchronous_standby_names') <> '' AND
			count(*) FILTER (WHERE state = 'streaming' AND sync_state IN ('quorum', 'sync')) = $1::text::int)::text FROM pg_stat_replication`, strconv.Itoa(len(c.members)-1))
		return err == nil && v == "true" && c.onRecord(primary)
	})
	return primary
}

// onRecord: the newest sync set that was written down is the primary with all others.
// PostgreSQL waits for them a moment before that.
func (c *cluster) onRecord(primary *member) bool {
	last := ""
	for _, line := range primary.events(time.Time{}) {
		if _, text, ok := strings.Cut(line, " sync_set_changed: "); ok {
			last = text
		}
	}
	set, ok := strings.CutPrefix(last, "commits are kept on "+primary.name+" and ")
	for _, m := range c.others(primary) {
		ok = ok && strings.Contains(set, m.name)
	}
	return ok
}

// waitLeader waits until another member than old accepts writes.
func (c *cluster) waitLeader(old *member) (leader *member) {
	c.t.Helper()
	c.wait(20*time.Second, "another primary than "+old.name, func() bool {
		for _, m := range c.members {
			if m != old && m.running() {
				if v, err := c.query(m, "SELECT (NOT pg_is_in_recovery())::text"); err == nil && v == "true" {
					leader = m
					return true
				}
			}
		}
		return false
	})
	return leader
}

func (c *cluster) get(name string) *member {
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// diagnose prints what is needed to understand a failed test.
func (c *cluster) diagnose() {
	if !c.t.Failed() {
		return
	}
	for _, m := range c.members {
		for _, file := range []string{m.dir + ".log", m.dir + "/postgres.log", m.dir + "/warden.log"} {
			data, _ := os.ReadFile(file)
			c.t.Logf("---- %s\n%s", file, data[max(0, len(data)-5000):])
		}
	}
	for _, m := range c.members {
		if m.running() {
			c.t.Logf("---- explain\n%s\n---- events\n%s", m.try("explain"), m.try("events", "--limit", "100"))
			return
		}
	}
}
