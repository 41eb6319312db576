package pki

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/test/ports"
)

// A real PostgreSQL, as another user when we are root, serves with the exported
// files, tells members from clients by the whole subject, and takes a renewed
// certificate with a reload.
func TestPostgresTakesExportedFiles(t *testing.T) {
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bin) == 0 {
		t.Skip("no PostgreSQL is installed")
	}
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	pg := startPostgres(t, bin[len(bin)-1], d)

	member, err := newKeyPair(ca, "n2")
	if err != nil {
		t.Fatal(err)
	}
	before, err := pg.connect(t, ca, &member)
	if err != nil {
		t.Fatalf("a member: %v", err)
	}
	// An application whose role has a member's name must not get the members' role.
	if _, err := pg.connect(t, ca, clientPair(t, ca, "n2")); err == nil || !strings.Contains(err.Error(), "certificate authentication failed") {
		t.Errorf("a client named like a member: %v", err)
	}
	if err := newDirPair(t, d); err != nil {
		t.Fatal(err)
	}
	if changed, err := Export(d, pg.tls, pg.uid, pg.gid); err != nil || !changed {
		t.Fatalf("export: %v, %v", changed, err)
	}
	if err := pg.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	pg.await(t, "parameter \"log_line_prefix\" changed")
	after, err := pg.connect(t, ca, &member)
	if err != nil {
		t.Fatal(err)
	}
	if after.SerialNumber.Cmp(before.SerialNumber) == 0 {
		t.Error("PostgreSQL still shows the old certificate")
	}
}

type testPostgres struct {
	tls      Dir
	uid, gid int
	port     int
	process  *os.Process
	log      chan string
}

func startPostgres(t *testing.T, bin string, d Dir) *testPostgres {
	t.Helper()
	root, err := os.MkdirTemp("/tmp", "pgherd-pki-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	pg := &testPostgres{tls: Dir(filepath.Join(root, "tls")), uid: -1, gid: -1, port: ports.Free(t), log: make(chan string, 1000)}
	attr := pg.otherUser(t, root)
	if _, err := Export(d, pg.tls, pg.uid, pg.gid); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(root, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "pgherd", "-A", "reject", "--no-sync", "--locale=C")
	initdb.SysProcAttr, initdb.Dir = attr, "/"
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	pg.configure(t, data)
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data)
	server.SysProcAttr, server.Dir = attr, "/"
	out, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	pg.process = server.Process
	go pg.read(out)
	t.Cleanup(func() { server.Process.Signal(syscall.SIGQUIT); server.Wait() })
	pg.await(t, "database system is ready")
	// The reload in the test is noticed by a line about a change, so there must be one.
	appendFile(t, filepath.Join(data, "postgresql.conf"), "log_line_prefix = 'x '\n")
	return pg
}

// otherUser: PostgreSQL refuses to run as root.
func (pg *testPostgres) otherUser(t *testing.T, root string) *syscall.SysProcAttr {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Skip("root, and there is no user postgres")
	}
	pg.uid, _ = strconv.Atoi(u.Uid)
	pg.gid, _ = strconv.Atoi(u.Gid)
	if err := os.Chown(root, pg.uid, pg.gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(pg.uid), Gid: uint32(pg.gid)}}
}

func (pg *testPostgres) configure(t *testing.T, data string) {
	t.Helper()
	appendFile(t, filepath.Join(data, "postgresql.conf"), fmt.Sprintf(
		"listen_addresses='127.0.0.1'\nport=%d\nunix_socket_directories=''\nssl=on\nfsync=off\nssl_cert_file='%s'\nssl_key_file='%s'\nssl_ca_file='%s'\n",
		pg.port, pg.tls.NodeCert(), pg.tls.NodeKey(), pg.tls.CACert()))
	appendFile(t, filepath.Join(data, "pg_ident.conf"), "members \"/^CN=[a-z][a-z0-9-]*,O="+NodeOrganization+"$\" pgherd\n")
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte("hostssl all pgherd 127.0.0.1/32 cert clientname=DN map=members\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func appendFile(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func (pg *testPostgres) read(out io.Reader) {
	defer close(pg.log)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		select {
		case pg.log <- lines.Text():
		default: // nobody waits for a line any more
		}
	}
}

func (pg *testPostgres) await(t *testing.T, text string) {
	t.Helper()
	var all []string
	deadline := time.After(60 * time.Second)
	for {
		select {
		case line, ok := <-pg.log:
			all = append(all, line)
			if strings.Contains(line, text) {
				return
			}
			if !ok {
				t.Fatalf("PostgreSQL ended before %q:\n%s", text, strings.Join(all, "\n"))
			}
		case <-deadline:
			t.Fatalf("no %q:\n%s", text, strings.Join(all, "\n"))
		}
	}
}

// connect logs in as the members' role and gives the server's certificate.
func (pg *testPostgres) connect(t *testing.T, ca *CA, pair *tls.Certificate) (*x509.Certificate, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d user=pgherd dbname=postgres sslmode=require", pg.port))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	cfg.TLSConfig = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: []tls.Certificate{*pair}}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	return conn.PgConn().Conn().(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}
