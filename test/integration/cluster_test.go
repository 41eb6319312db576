package integration

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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
	dirty   bool // a test failed on it
}

type member struct {
	c                    *cluster
	name, dir, config    string
	pg, api, peer, store int
	ip                   string
	rw, ro               int  // of the endpoints; 0: none
	pooler               bool // a host that only pools; it is not among members
	agent                *exec.Cmd
	ended                chan struct{} // closed when agent ended
}

// answer is what one command of pgherd said.
type answer struct {
	code           int
	stdout, stderr string
}

func (a answer) String() string {
	return fmt.Sprintf("exit %d\nstdout: %s\nstderr: %s", a.code, a.stdout, a.stderr)
}

// newCluster is an empty directory; the test's end takes all its processes down.
func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := makeCluster(t)
	t.Cleanup(func() { c.diagnose(t); c.down() })
	return c
}

func makeCluster(t testing.TB) *cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgherd-it-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return &cluster{t: t, dir: dir}
}

// add makes a member's place; nothing runs yet.
func (c *cluster) add() *member {
	m := &member{c: c, name: fmt.Sprintf("n%d", len(c.members)+1), ip: "127.0.0.1"}
	m.dir, m.config = filepath.Join(c.dir, m.name), filepath.Join(c.dir, m.name+".yaml")
	m.pg, m.api, m.peer, m.store = ports.Free(c.t), ports.Free(c.t), ports.Free(c.t), ports.Free(c.t)
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chown(m.dir, owner.uid, owner.gid); err != nil {
		c.t.Fatal(err)
	}
	c.members = append(c.members, m)
	return m
}

func at(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (m *member) at(port int) string { return net.JoinHostPort(m.ip, strconv.Itoa(port)) }

func (m *member) setupArgs(more ...string) []string {
	args := []string{"--config", m.config, "--name", m.name, "--address", m.ip, "--state-dir", m.dir,
		"--pg-port", strconv.Itoa(m.pg), "--listen-api", m.at(m.api), "--listen-peer", m.at(m.peer), "--listen-store", m.at(m.store),
		"--bin-dir", binDir, "--watchdog", "off"}
	if m.rw == 0 {
		args = append(args, "--no-endpoints")
	} else {
		args = append(args, "--listen-rw", m.at(m.rw), "--listen-ro", m.at(m.ro))
	}
	return append(args, more...)
}

// pgherd runs one command to its end.
func (c *cluster) pgherd(args ...string) answer {
	return c.pgherdIn("", args...)
}

func (c *cluster) pgherdIn(stdin string, args ...string) answer {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.dir, strings.NewReader(stdin), &stdout, &stderr
	cmd.WaitDelay = time.Second
	_ = cmd.Run()
	if ctx.Err() != nil {
		c.t.Fatalf("pgherd %v did not end", args)
	}
	return answer{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// do runs a command that must end with 0 and gives its stdout.
func (m *member) do(args ...string) string {
	m.c.t.Helper()
	a := m.try(args...)
	if a.code != 0 {
		m.c.t.Fatalf("pgherd %s on %s: %s", strings.Join(args, " "), m.name, a)
	}
	return a.stdout
}

func (m *member) try(args ...string) answer {
	m.c.t.Helper()
	return m.c.pgherd(append(args, "--config", m.config)...)
}

func (m *member) init(more ...string) {
	m.c.t.Helper()
	if a := m.c.pgherd(append([]string{"init"}, m.setupArgs(more...)...)...); a.code != 0 {
		m.c.t.Fatalf("init: %s", a)
	}
}

// tokenFrom writes a new join token to a file and gives its path.
func (m *member) tokenFrom(from *member, more ...string) string {
	m.c.t.Helper()
	file := m.dir + ".token"
	text := from.do(append([]string{"token", "create"}, more...)...)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		m.c.t.Fatal(err)
	}
	return file
}

func (m *member) tryJoin(from *member, tokenFile string, more ...string) answer {
	return m.c.pgherd(append([]string{"join", from.apiAt(), "--token-file", tokenFile}, m.setupArgs(more...)...)...)
}

func (m *member) join(from *member, more ...string) {
	m.c.t.Helper()
	if a := m.tryJoin(from, m.tokenFrom(from), more...); a.code != 0 {
		m.c.t.Fatalf("join of %s: %s", m.name, a)
	}
}

// up makes a healthy cluster of n.
func (c *cluster) up(n int, initArgs ...string) {
	c.t.Helper()
	first := c.add()
	first.init(initArgs...)
	first.start()
	first.waitState("running")
	c.appRole(first)
	for range n - 1 {
		m := c.add()
		m.join(first)
		m.start()
	}
	c.waitHealthy()
}

// start runs the agent; extra are flags of `pgherd run`.
func (m *member) start(extra ...string) {
	m.c.t.Helper()
	log, err := os.OpenFile(m.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		m.c.t.Fatal(err)
	}
	defer log.Close()
	args := []string{"run", "--config", m.config}
	if m.pooler {
		args = append([]string{"pooler"}, args...)
	}
	cmd := exec.Command(exe, append(args, extra...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		m.c.t.Fatal(err)
	}
	m.agent, m.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) { _ = cmd.Wait(); close(ended) }(m.ended)
}

func (m *member) logFile() string { return m.dir + ".log" }
func (m *member) data() string    { return filepath.Join(m.dir, "data") }

// signal sends a signal to the agent.
func (m *member) signal(sig syscall.Signal) {
	m.c.t.Helper()
	if err := m.agent.Process.Signal(sig); err != nil {
		m.c.t.Fatalf("signal %v to the agent of %s: %v", sig, m.name, err)
	}
}

// waitEnd waits for the agent's end and gives its exit code (-1: by a signal).
func (m *member) waitEnd(limit time.Duration) int {
	m.c.t.Helper()
	select {
	case <-m.ended:
		return m.agent.ProcessState.ExitCode()
	case <-time.After(limit):
		m.c.t.Fatalf("the agent of %s has not ended after %v", m.name, limit)
		return 0
	}
}
