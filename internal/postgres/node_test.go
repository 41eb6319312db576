package postgres

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/test/ports"
)

// testCA signs node and application certificates for one test.
type testCA struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

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

// testDir has a short name: unix socket paths are limited to about 100 bytes.
func testDir(t testing.TB) string {
	t.Helper()
	dir := must(os.MkdirTemp("/tmp", "pgh"))(t)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newCA(t testing.TB) *testCA {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test ca"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key))(t)
	ca := &testCA{testDir(t), must(x509.ParseCertificate(der))(t), key}
	check(t, os.WriteFile(ca.file("ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return ca
}

func (ca *testCA) file(name string) string { return filepath.Join(ca.dir, name) }

// issue writes NAME.crt and NAME.key for 127.0.0.1.
func (ca *testCA) issue(t testing.TB, name string) {
	t.Helper()
	ca.issueTo(t, name, name, nodeOrganization)
}

// issuePooler is for a host that only pools.
func (ca *testCA) issuePooler(t testing.TB, name string) {
	t.Helper()
	ca.issueTo(t, name, name, poolerOrganization)
}

func (ca *testCA) issueTo(t testing.TB, file, name, organization string) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{Organization: []string{organization}, CommonName: name},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, ca.cert, &key.PublicKey, ca.key))(t)
	keyDER := must(x509.MarshalECPrivateKey(key))(t)
	check(t, os.WriteFile(ca.file(file+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(t, os.WriteFile(ca.file(file+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
}

// node is one PostgreSQL of a test.
type node struct {
	in     Instance
	name   string
	ca     *testCA
	db     *DB
	log    *syncBuffer
	cmd    *exec.Cmd
	exited chan struct{}
	source *node
	params map[string]string
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// testBinDir is PGHERD_TEST_BINDIR (scripts/versions.sh goes through all versions with
// it), or this machine's newest.
func testBinDir(t testing.TB) string {
	t.Helper()
	bin, _, err := FindBinDir(os.Getenv("PGHERD_TEST_BINDIR"))
	check(t, err)
	return bin
}

func newNode(t testing.TB, ca *testCA, name string, separateWal bool) *node {
	t.Helper()
	dir := testDir(t)
	in := Instance{BinDir: testBinDir(t), DataDir: filepath.Join(dir, "data"), SocketDir: dir, Port: ports.Free(t)}
	if separateWal {
		in.WalDir = filepath.Join(dir, "wal")
	}
	ca.issue(t, name)
	n := &node{in: in, name: name, ca: ca, db: Open(in), log: &syncBuffer{}, params: map[string]string{"shared_buffers": "16MB", "max_connections": "30"}}
	t.Cleanup(func() {
		n.db.Close()
		n.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, n.log)
		}
	})
	return n
}

func (n *node) asSource(member string) Source {
	return Source{Host: "127.0.0.1", Port: n.in.Port, CertFile: n.ca.file(member + ".crt"), KeyFile: n.ca.file(member + ".key"),
		CAFile: n.ca.file("ca.crt"), AppName: member}
}

func (n *node) configure(t testing.TB) {
	t.Helper()
	u := must(user.Current())(t)
	hba, ident, err := RenderHBA(HBAInput{OSUser: u.Username, Members: []string{"n1", "n2", "n3"}, Poolers: []string{"n1", "app1"}, Rules: []spec.HBARule{
		{Databases: []string{"all"}, Users: []string{"all"}, From: "127.0.0.0/8", Auth: "cert"}}})
	check(t, err)
	conf := Conf{Instance: n.in, ClusterName: "test", Listen: "127.0.0.1", CertFile: n.ca.file(n.name + ".crt"),
		KeyFile: n.ca.file(n.name + ".key"), CAFile: n.ca.file("ca.crt"), Parameters: n.params}
	if n.source != nil {
		s := n.source.asSource(n.name)
		conf.Source, conf.PrimarySlot = &s, spec.SlotName(n.name)
	}
	_, err = WriteConf(n.in, RenderConf(conf), hba, ident)
	check(t, err)
}

// start runs the postmaster and waits until it answers.
func (n *node) start(t testing.TB) Facts {
	t.Helper()
	path, args, env := StartArgs(n.in)
	n.cmd = exec.Command(path, args...)
	n.cmd.Env, n.cmd.Stdout, n.cmd.Stderr = env, n.log, n.log
	check(t, n.cmd.Start())
	exited := make(chan struct{})
	n.exited = exited
	go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(exited) }(n.cmd)
	return n.await(t, "to answer", func(Facts) bool { return true })
}

// await polls Facts until ok says so; a server that ended is a failure at once.
func (n *node) await(t testing.TB, what string, ok func(Facts) bool) Facts {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last Facts
	var lastErr error
	for {
		if last, lastErr = n.db.Facts(ctx); lastErr == nil && ok(last) {
			return last
		}
		select {
		case <-tick.C:
		case <-n.exited:
			t.Fatalf("%s ended while it was awaited %s: %v", n.name, what, lastErr)
		case <-ctx.Done():
			t.Fatalf("%s was awaited %s: %v %+v", n.name, what, lastErr, last)
		}
	}
}

func (n *node) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	check(t, n.cmd.Process.Signal(s))
	<-n.exited
	n.cmd = nil
}

func (n *node) stop(t testing.TB) { t.Helper(); n.signal(t, syscall.SIGINT) }

// crash is an immediate shutdown: no checkpoint, so recovery is due at the next start.
func (n *node) crash(t testing.TB) { t.Helper(); n.signal(t, syscall.SIGQUIT) }

func (n *node) kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(syscall.SIGQUIT)
		<-n.exited
		n.cmd = nil
	}
}

func (n *node) exec(t testing.TB, sql string) {
	t.Helper()
	check(t, n.db.exec(testContext(t), "test", sql))
}

func (n *node) text(t testing.TB, sql string) (text string) {
	t.Helper()
	ctx := testContext(t)
	conn := must(n.db.dial(ctx))(t)
	defer closeSoon(conn)
	check(t, conn.QueryRow(ctx, sql).Scan(&text))
	return text
}

// newPrimary bootstraps a primary with roles.
func newPrimary(t testing.TB, ca *testCA, name string, separateWal bool) *node {
	t.Helper()
	n := newNode(t, ca, name, separateWal)
	ctx := testContext(t)
	check(t, n.in.InitDB(ctx, InitOptions{NoSync: true, WalSegmentMB: 1}))
	check(t, WriteMark(n.in, Mark{"cluster", name, must(ReadControl(n.in.DataDir))(t).SystemID}))
	n.configure(t)
	check(t, TestConfig(ctx, n.in))
	n.start(t)
	check(t, n.db.EnsureRoles(ctx))
	check(t, n.db.EnsureRoles(ctx))
	return n
}
