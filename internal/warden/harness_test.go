package warden

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The tests use real PostgreSQL and real processes: this test binary, copied to where user postgres
// can execute it, is the warden and the agent too.
var (
	baseDir    string
	testExe    string
	binDir     string
	credential *syscall.Credential // nil unless root runs the tests
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "warden":
			os.Exit(Main(os.Args[2:]))
		case "test-agent":
			os.Exit(testAgent(os.Args[2:]))
		case "test-unkillable":
			os.Exit(testUnkillable(os.Args[2]))
		}
	}
	code := 1
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "preparing the tests:", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(baseDir)
	os.Exit(code)
}

func prepare() (err error) {
	if baseDir, err = os.MkdirTemp("/tmp", "warden-"); err != nil {
		return err
	}
	if err := os.Chmod(baseDir, 0o755); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	testExe = filepath.Join(baseDir, "pgherd")
	if err := copyExecutable(testExe); err != nil {
		return err
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		return fmt.Errorf("no PostgreSQL in /usr/lib/postgresql")
	}
	binDir = found[len(found)-1]
	return initTemplate()
}

func copyExecutable(to string) error {
	src, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	return dst.Close()
}

func initTemplate() error {
	home := filepath.Join(baseDir, "template")
	if err := makeDir(home); err != nil {
		return err
	}
	data := filepath.Join(home, "data")
	out, err := asPostgres(filepath.Join(binDir, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("listen_addresses = ''\nfsync = off\nshared_buffers = 16MB\nmax_connections = 60\n")
	return err
}

func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if credential == nil {
		return nil
	}
	return os.Chown(dir, int(credential.Uid), int(credential.Gid))
}

func asPostgres(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Setsid: true}
	return cmd
}

// instance is a data directory and a state directory with everything that the test starts there.
type instance struct {
	t         testing.TB
	dir       string
	o         Options
	wardenPID int
}

func newInstance(t testing.TB) *instance {
	t.Helper()
	dir, err := os.MkdirTemp(baseDir, "i")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	i := &instance{t: t, dir: dir}
	i.o = Options{Exe: testExe, StateDir: filepath.Join(dir, "state"), DataDir: filepath.Join(dir, "data"), Credential: credential}
	must(t, makeDir(i.o.StateDir))
	out, err := exec.Command("cp", "-a", filepath.Join(baseDir, "template", "data"), i.o.DataDir).CombinedOutput()
	must(t, err, string(out))
	t.Cleanup(i.cleanup)
	return i
}

func (i *instance) cleanup() {
	if i.t.Failed() {
		for _, name := range []string{"warden.log", "postgres.log"} {
			b, _ := os.ReadFile(filepath.Join(i.o.StateDir, name))
			i.t.Logf("%s:\n%s", name, b)
		}
	}
	if i.wardenPID != 0 {
		_ = syscall.Kill(i.wardenPID, syscall.SIGCONT)
		_ = syscall.Kill(i.wardenPID, syscall.SIGKILL)
		await(i.t, "the warden's end", func() bool { return !alive(i.wardenPID) })
	}
	await(i.t, "the end of the instance", func() bool {
		found := leftovers(i.o.DataDir)
		for _, p := range found {
			_ = p.kill()
		}
		return len(found) == 0
	})
	must(i.t, os.RemoveAll(i.dir))
}

func (i *instance) ensure() *Client {
	i.t.Helper()
	c, err := Ensure(ctx(i.t), i.o)
	must(i.t, err)
	i.t.Cleanup(func() { c.Close() })
	i.wardenPID = c.Status().WardenPID
	return c
}

func (i *instance) command() Command {
	return Command{
		Path: filepath.Join(binDir, "postgres"),
		Args: []string{"-D", i.o.DataDir, "-k", i.dir + "/data"},
		Env:  []string{"PATH=/usr/bin:/bin", "LC_ALL=C"},
	}
}

// running gives a warden whose postgres accepts connections, disarmed.
func (i *instance) running() *Client {
	i.t.Helper()
	c := i.ensure()
	must(i.t, c.Disarm(ctx(i.t), 1))
	must(i.t, c.Start(ctx(i.t), i.command()))
	i.connect()
	return c
}

func (i *instance) connect() *pgx.Conn {
	i.t.Helper()
	return i.connectNotified(nil)
}

func (i *instance) connectNotified(notice func(*pgconn.PgConn, *pgconn.Notice)) *pgx.Conn {
	i.t.Helper()
	cfg, err := pgx.ParseConfig("user=postgres dbname=postgres sslmode=disable host=" + i.o.DataDir)
	must(i.t, err)
	cfg.OnNotice = notice
	var conn *pgx.Conn
	await(i.t, "postgres accepting connections", func() bool {
		conn, err = pgx.ConnectConfig(ctx(i.t), cfg)
		return err == nil
	})
	i.t.Cleanup(func() { _ = conn.Close(ctx(i.t)) })
	return conn
}

func (i *instance) exec(sql string) {
	i.t.Helper()
	_, err := i.connect().Exec(ctx(i.t), sql)
	must(i.t, err)
}

func (i *instance) rows() (n int) {
	i.t.Helper()
	must(i.t, i.connect().QueryRow(ctx(i.t), "SELECT count(*) FROM t").Scan(&n))
	return n
}

// busy has a backend spin and then insert a row; result receives what the client is told.
func (i *instance) busy(spin time.Duration) (pid int, result <-chan error) {
	i.t.Helper()
	i.exec("CREATE TABLE IF NOT EXISTS t (a int)")
	spinning := make(chan struct{})
	conn := i.connectNotified(func(*pgconn.PgConn, *pgconn.Notice) { close(spinning) })
	pid = int(conn.PgConn().PID())
	told := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), fmt.Sprintf(`DO $$ DECLARE stop timestamptz := clock_timestamp() + interval '%d ms';
			BEGIN RAISE NOTICE 'spinning'; WHILE clock_timestamp() < stop LOOP NULL; END LOOP; INSERT INTO t VALUES (1); END $$`, spin.Milliseconds()))
		told <- err
	}()
	select {
	case <-spinning:
	case <-time.After(20 * time.Second):
		i.t.Fatal("the backend did not begin")
	}
	return pid, told
}

// processes lists every process of the instance.
func (i *instance) processes() (pids []int) {
	for _, p := range leftovers(i.o.DataDir) {
		pids = append(pids, p.pid)
	}
	return pids
}

// processState is the letter of /proc/PID/stat, "" when there is no such process.
func processState(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))[0]
}

func alive(pid int) bool { return !slices.Contains([]string{"", "Z", "X"}, processState(pid)) }

// freeze stops a process and waits until each of its threads stands: SIGSTOP takes its time.
func freeze(t testing.TB, pid int) {
	t.Helper()
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	await(t, "the process to stop", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		return !slices.ContainsFunc(threads, func(stat string) bool {
			b, err := os.ReadFile(stat)
			return err == nil && !strings.Contains(string(b), ") T ")
		})
	})
}

func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

// awaitStatus waits on the client's hints until the status is as wanted.
func awaitStatus(t testing.TB, c *Client, what string, cond func(Status) bool) Status {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		if s := c.Status(); cond(s) {
			return s
		}
		select {
		case <-c.Changes():
		case <-timeout:
			t.Fatalf("waited 20 s for %s; status %+v", what, c.Status())
		}
	}
}

func empty(s Status) bool { return s.Empty }

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return c
}

func must(t testing.TB, err error, context ...string) {
	t.Helper()
	if err != nil {
		t.Fatal(append([]string{err.Error()}, context...))
	}
}
