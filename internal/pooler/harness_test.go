package pooler

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/test/ports"
)

const password = "a secret of shop"

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// testDir has a short name: unix socket paths are limited to about 100 bytes.
func testDir(t testing.TB) string {
	t.Helper()
	dir := must(os.MkdirTemp("/tmp", "pgp"))(t)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// server is a PostgreSQL of the tests: a primary, made once for all. All have one port, at
// addresses of their own, and the same roles with the same secrets, as members have.
type server struct {
	in  postgres.Instance
	at  Target
	dir string
	cmd *exec.Cmd
}

// world is what all tests share.
type world struct {
	dir     string
	keys    pki.Dir
	roots   *x509.CertPool
	servers []*server
}

var (
	worldOnce sync.Once
	theWorld  *world
)

func theServers(t testing.TB) *world {
	t.Helper()
	worldOnce.Do(func() { theWorld = newWorld(t) })
	if theWorld == nil {
		t.Fatal("the servers could not be made: see the first test that failed")
	}
	return theWorld
}

func stopServers() {
	if theWorld == nil {
		return
	}
	for _, s := range theWorld.servers {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		_ = s.cmd.Wait()
	}
	_ = os.RemoveAll(theWorld.dir)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{dir: must(os.MkdirTemp("/tmp", "pgw"))(t), roots: x509.NewCertPool()}
	ca := must(pki.NewCA("0190b5a0-0000-7000-8000-000000000000", time.Now()))(t)
	cert, key, err := ca.Issue("n1", []string{"127.0.0.1", "127.0.0.2"}, time.Now(), time.Hour)
	check(t, err)
	w.keys = pki.Dir(filepath.Join(w.dir, "pki"))
	check(t, ca.Save(w.keys))
	check(t, pki.SaveNode(w.keys, cert, key))
	w.roots.AppendCertsFromPEM(ca.CertPEM())
	port := ports.Free(t)
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		w.servers = append(w.servers, w.newServer(t, Target{host, port}))
	}
	secret := w.servers[0].text(t, "SELECT rolpassword FROM pg_authid WHERE rolname = 'shop'")
	w.servers[1].exec(t, "ALTER ROLE shop PASSWORD '"+secret+"'") // as replication makes it
	return w
}

func (w *world) newServer(t testing.TB, at Target) *server {
	t.Helper()
	bin, _, err := postgres.FindBinDir(os.Getenv("PGHERD_TEST_BINDIR"))
	check(t, err)
	dir := must(os.MkdirTemp(w.dir, "s"))(t)
	s := &server{dir: dir, at: at, in: postgres.Instance{BinDir: bin, DataDir: filepath.Join(dir, "data"), SocketDir: dir, Port: at.Port}}
	check(t, s.in.InitDB(testContext(t), postgres.InitOptions{NoSync: true, WalSegmentMB: 1}))
	check(t, postgres.EnsureInclude(s.in))
	u := must(user.Current())(t)
	hba, ident, err := postgres.RenderHBA(postgres.HBAInput{OSUser: u.Username, Members: []string{"n1"}, Poolers: []string{"n1"},
		Rules: []spec.HBARule{{Databases: []string{"all"}, Users: []string{"all"}, From: "127.0.0.0/8", Auth: "scram-sha-256"}}})
	check(t, err)
	_, err = postgres.WriteConf(s.in, postgres.RenderConf(postgres.Conf{Instance: s.in, ClusterName: at.Host, Listen: at.Host,
		CertFile: w.keys.NodeCert(), KeyFile: w.keys.NodeKey(), CAFile: w.keys.CACert(),
		Parameters: map[string]string{"shared_buffers": "16MB", "max_connections": "100"}}), hba, ident)
	check(t, err)
	s.start(t)
	db := postgres.Open(s.in)
	defer db.Close()
	check(t, db.EnsureRoles(testContext(t)))
	for _, sql := range []string{
		"CREATE ROLE shop LOGIN PASSWORD '" + password + "'", "CREATE ROLE boss LOGIN SUPERUSER PASSWORD '" + password + "'",
		"CREATE ROLE past LOGIN PASSWORD '" + password + "' VALID UNTIL '2001-01-01'",
		"CREATE ROLE pgbouncer LOGIN PASSWORD '" + password + "'",
		"CREATE DATABASE sales OWNER shop", `CREATE DATABASE "Odd name" OWNER shop`,
	} {
		s.exec(t, sql)
	}
	return s
}

func (s *server) start(t testing.TB) {
	t.Helper()
	path, args, env := postgres.StartArgs(s.in)
	s.cmd = exec.Command(path, args...)
	s.cmd.Env = env
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := must(os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))(t)
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	check(t, s.cmd.Start())
	eventually(t, "PostgreSQL answers", func() bool {
		conn, err := s.dial(testContext(t))
		if err == nil {
			conn.Close(testContext(t))
		}
		return err == nil
	})
}

func (s *server) dial(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres sslmode=disable", s.dir, s.at.Port))
}

func (s *server) exec(t testing.TB, sql string) {
	t.Helper()
	ctx := testContext(t)
	conn := must(s.dial(ctx))(t)
	defer conn.Close(ctx)
	must(conn.Exec(ctx, sql))(t)
}

func (s *server) text(t testing.TB, sql string) (text string) {
	t.Helper()
	ctx := testContext(t)
	conn := must(s.dial(ctx))(t)
	defer conn.Close(ctx)
	check(t, conn.QueryRow(ctx, sql).Scan(&text))
	return text
}

// eventually looks again until it is so: for what another process does and no signal tells.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("awaited in vain: " + what)
		}
	}
}

// testBin is the program under test: PGHERD_PGBOUNCER, or what Find finds.
func testBin(t testing.TB) string {
	t.Helper()
	path, v, err := Find(os.Getenv("PGHERD_PGBOUNCER"))
	if err != nil {
		t.Fatalf("%v (make deps installs it)", err)
	}
	t.Logf("PgBouncer %s, %s", v, path)
	return path
}

func (w *world) config(t testing.TB) Config {
	t.Helper()
	return Config{Bin: testBin(t), Dir: filepath.Join(testDir(t), "rw"), Listen: fmt.Sprintf("127.0.0.1:%d", ports.Free(t)),
		CertFile: w.keys.NodeCert(), KeyFile: w.keys.NodeKey(), CAFile: w.keys.CACert(),
		AuthUser: postgres.RolePooler, AuthDB: postgres.PoolerDatabase, AuthQuery: postgres.PoolerQuery}
}

// running gives an endpoint that sends to targets.
func running(t testing.TB, cfg Config, targets ...Target) *PgBouncer {
	t.Helper()
	p := must(New(cfg))(t)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(cfg.path(logFile))
			t.Logf("log of PgBouncer:\n%s", log)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	check(t, p.Ensure(testContext(t), targets))
	return p
}

// clientConfig is an application's: TLS, verified, and a password.
func (w *world) clientConfig(t testing.TB, p *PgBouncer, user, db, pass string) *pgx.ConnConfig {
	t.Helper()
	cfg := must(pgx.ParseConfig("host=127.0.0.1 port=" + p.cfg.port() + " sslmode=require passfile=/dev/null"))(t)
	cfg.User, cfg.Database, cfg.Password = user, db, pass
	cfg.TLSConfig = &tls.Config{RootCAs: w.roots, ServerName: "127.0.0.1"}
	return cfg
}

func (w *world) client(t testing.TB, p *PgBouncer, db string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(testContext(t), w.clientConfig(t, p, "shop", db, password))
	check(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// where says which server answers.
func where(t testing.TB, conn *pgx.Conn) (host string) {
	t.Helper()
	check(t, conn.QueryRow(testContext(t), "SELECT current_setting('cluster_name')").Scan(&host))
	return host
}

func stateOf(t testing.TB, p *PgBouncer) State {
	t.Helper()
	return must(p.State(testContext(t)))(t)
}

// alive tells whether a process is there and no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
