//go:build lab

package load

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/test/ports"
)

// server is one plain PostgreSQL: the checker is tried on a single server first, or its faults
// would be taken for the cluster's.
type server struct {
	t         testing.TB
	bin, data string
	port      int
	cred      *syscall.Credential
	cmd       *exec.Cmd
}

func newServer(t testing.TB) *server {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	owner, err := user.Lookup("postgres")
	if len(found) == 0 || err != nil {
		t.Fatalf("PostgreSQL and its user are needed: %v %v", found, err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	dir, err := os.MkdirTemp("", "pgherd-load-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, bin: found[len(found)-1], data: dir + "/data", cred: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := s.command("initdb", "-U", "app", "-A", "scram-sha-256", "--pwfile", password, "-D", s.data).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.port = ports.Free(t)
	return s
}

func (s *server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: s.cred, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = s.command("postgres", "-D", s.data, "-p", strconv.Itoa(s.port), "-k", filepath.Dir(s.data), "-c", "listen_addresses=127.0.0.1")
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.cmd.Process.Signal(syscall.SIGQUIT); _ = s.cmd.Wait() })
}

func (s *server) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *server) config() Config {
	return Config{Members: []Member{{"alone", s.addr()}}, Password: "secret", Database: "postgres", SSLMode: "disable"}
}

func TestOneServerPasses(t *testing.T) {
	s := newServer(t)
	s.start()
	l := Start(t, s.config())
	l.WaitAcked(200)
	h := l.Stop()
	rows, err := l.Rows(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	r := history.Check(h, rows, history.Bounds{OutageMax: 5 * time.Second})
	t.Logf("%+v", r)
	if !r.OK() {
		t.Errorf("%q", r.Problems)
	}
	if len(rows["alone"]) < 100 {
		t.Errorf("only %d rows", len(rows["alone"]))
	}
}

func TestCrashAndRestartPass(t *testing.T) {
	s := newServer(t)
	s.start()
	l := Start(t, s.config())
	l.Mark("SIGQUIT")
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	_ = s.cmd.Wait()
	s.start()
	l.WaitAcked(50)
	h := l.Stop()
	rows, err := l.Rows(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	r := history.Check(h, rows, history.Bounds{OutageMax: 10 * time.Second})
	t.Logf("%+v", r)
	if !r.OK() {
		t.Errorf("%q", r.Problems)
	}
	if r.Unknown == 0 && r.Refused == 0 {
		t.Error("nobody noticed the crash")
	}
}

// TestLossIsSeen: rows that are deleted behind the clients' back, as a bad failover would.
func TestLossIsSeen(t *testing.T) {
	s := newServer(t)
	s.start()
	l := Start(t, s.config())
	h := l.Stop()
	c, err := l.cfg.primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.exec("DELETE FROM lab_rows WHERE id IN (SELECT id FROM lab_rows ORDER BY id DESC LIMIT 20); UPDATE lab_registers SET value = 0"); err != nil {
		t.Fatal(err)
	}
	c.close()
	rows, err := l.Rows(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if r := history.Check(h, rows, history.Bounds{OutageMax: 5 * time.Second}); r.OK() || r.Lost == 0 {
		t.Errorf("%+v", r)
	}
}

// TestInterruptedWaitIsUnknown: PostgreSQL acknowledges a commit whose wait for standbys was
// cancelled, with a warning. To take it for acknowledged would be to call its later loss a fault.
func TestInterruptedWaitIsUnknown(t *testing.T) {
	s := newServer(t)
	s.start()
	l := Start(t, s.config())
	c, err := l.cfg.primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"} {
		if _, err := c.exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	l.wait("a wait for standbys to cancel", func() bool {
		rows, err := c.exec("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		return err == nil && rows[0][0] != "0"
	})
	l.wait("its answer", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, o := range l.hist.Ops {
			if o.Outcome == history.Unknown && strings.HasPrefix(o.Text, "WARNING 01000") {
				return true
			}
		}
		return false
	})
}

// TestLateAnswerIsSeen: a client that gave up waiting still hears the answer.
func TestLateAnswerIsSeen(t *testing.T) {
	s := newServer(t)
	s.start()
	l := Start(t, s.config())
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	backends, _ := exec.Command("pgrep", "-P", strconv.Itoa(s.cmd.Process.Pid)).Output()
	signal := func(sig syscall.Signal) {
		for _, text := range append(strings.Fields(string(backends)), strconv.Itoa(s.cmd.Process.Pid)) {
			pid, _ := strconv.Atoi(text)
			_ = syscall.Kill(pid, sig)
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	l.pause(patience + time.Second) // all have given up
	signal(syscall.SIGCONT)
	l.wait("an answer after the client's patience", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, o := range l.hist.Ops {
			if o.Outcome == history.Acked && o.Done-o.Sent > patience {
				return true
			}
		}
		return false
	})
}
