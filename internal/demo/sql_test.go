package demo

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/internal/postgres"
)

// server is a lone PostgreSQL with the role app, whose password is only known as the
// verifier that the demo makes of it.
type server struct {
	t         *testing.T
	bin, data string
	port      int
	owner     owner
	cmd       *exec.Cmd
}

func startServer(t *testing.T) *server {
	t.Helper()
	bin, _, err := postgres.FindBinDir("")
	if err != nil {
		t.Fatal(err)
	}
	o, err := findOwner()
	if err != nil {
		t.Fatal(err)
	}
	ports, reserved, err := choosePorts(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reserved.Close() })
	dir := publicDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, bin: bin, data: filepath.Join(dir, "data"), port: ports[0].Postgres, owner: o}
	s.run("initdb", "-D", s.data, "-N", "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
	s.start()
	verifier, err := scramVerifier("pencil")
	if err != nil {
		t.Fatal(err)
	}
	s.psql(appSQL(verifier))
	s.psql(appSQL(verifier)) // whatever is there already stays
	return s
}

func (s *server) run(program string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.SysProcAttr = "/", s.owner.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses="+address, "-c", "unix_socket_directories="+filepath.Dir(s.data))
	s.cmd.Dir, s.cmd.SysProcAttr = "/", s.owner.attr()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd := s.cmd
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		_ = cmd.Wait()
	})
	s.wait("postgres", "postgres")
}

func (s *server) wait(user, database string) {
	s.t.Helper()
	eventually(s.t, "PostgreSQL answers", func() bool {
		conn, err := pgx.Connect(s.t.Context(), "host="+filepath.Dir(s.data)+" port="+strconv.Itoa(s.port)+" user="+user+" dbname="+database)
		if err == nil {
			conn.Close(context.Background())
		}
		return err == nil
	})
}

func (s *server) psql(script string) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, "psql"), "-Xq", "-v", "ON_ERROR_STOP=1", "-h", filepath.Dir(s.data), "-p", strconv.Itoa(s.port), "-U", "postgres", "-d", "postgres", "-f", "-")
	cmd.Dir, cmd.Stdin, cmd.SysProcAttr = "/", strings.NewReader(script), s.owner.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("psql: %v\n%s", err, out)
	}
}

func (s *server) dsn(password string) string {
	return "postgresql://app:" + password + "@" + address + ":" + strconv.Itoa(s.port) + "/app?sslmode=disable"
}

func TestVerifierLetsAppIn(t *testing.T) {
	s := startServer(t)
	conn, err := pgx.Connect(t.Context(), s.dsn("pencil"))
	if err != nil {
		t.Fatalf("the right password: %v", err)
	}
	conn.Close(t.Context())
	if _, err := pgx.Connect(t.Context(), s.dsn("pencils")); err == nil {
		t.Error("a wrong password was accepted")
	}
}

// TestLoadSeesOutageAndLoss breaks a server under the writers, and then the rows.
func TestLoadSeesOutageAndLoss(t *testing.T) {
	s := startServer(t)
	ctx := timeout(t, time.Minute)
	load, err := startLoad(ctx, s.dsn("pencil"), 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := load.WaitAcked(ctx, time.Now(), 100); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	_ = s.cmd.Wait()
	down := time.Now()
	s.start()
	up := time.Now()
	if err := load.WaitAcked(ctx, up, 100); err != nil {
		t.Fatal(err)
	}
	load.Stop()
	gap := load.LongestGap(began, up)
	if gap.From.After(down) || gap.To.Before(down) || gap.Length() > 20*time.Second {
		t.Errorf("the gap is from %v to %v; the server was down from %v", gap.From, gap.To, down)
	}
	if len(load.Failures(began, time.Now())) == 0 {
		t.Error("no client saw a failure")
	}
	check := func() Verdict {
		v, _, err := load.checkMember(ctx, s.dsn("pencil"), "n1", "")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := check(); !v.OK() || v.Found < load.Acked() || v.Found > load.Acked()+load.Unknown() {
		t.Errorf("%d acknowledged, %d unknown, and %s", load.Acked(), load.Unknown(), v)
	}
	s.psql(`\c app
		DELETE FROM demo_rows WHERE writer = 2 AND seq = 5;
		INSERT INTO demo_rows SELECT * FROM demo_rows WHERE writer = 3 AND seq = 6;`)
	v := check()
	if len(v.Missing) != 1 || v.Missing[0] != (row{2, 5}) || len(v.Twice) != 1 || v.Twice[0] != (row{3, 6}) {
		t.Errorf("after the damage: %s", v)
	}
}
