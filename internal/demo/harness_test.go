package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// standIn makes the test binary a pgherd, or a postgres, that only lives: processes are
// told apart by their program, arguments and directory.
const standIn = "PGHERD_DEMO_STAND_IN"

func TestMain(m *testing.M) {
	switch os.Getenv(standIn) {
	case "":
		code := m.Run()
		if exe, err := buildOnce(); err == nil {
			_ = os.RemoveAll(filepath.Dir(exe))
		}
		os.Exit(code)
	case "fails":
		_, _ = os.Stderr.WriteString("error: the port is taken\n")
		os.Exit(1)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		select {}
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
}

// publicDir is a directory that everybody may enter: t.TempDir's parents are closed to
// user postgres when root runs the tests.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgherd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// program puts the test binary there under another name.
func program(t *testing.T, dir, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// testCluster is a cluster of n members whose agents are stand-ins.
func testCluster(t *testing.T, n int) *Cluster {
	t.Helper()
	dir := publicDir(t)
	o, err := findOwner()
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{dir: filepath.Join(dir, "demo"), exe: program(t, dir, "pgherd-stand-in"), owner: o, say: t.Logf}
	c.layout.Mark, c.layout.Ready = layoutMark, true
	for i, p := range layPorts(20000, n) {
		name := "n" + string(rune('1'+i))
		c.layout.Members = append(c.layout.Members, layoutMember{Name: name, Ports: p, Joined: true})
		c.members = append(c.members, newMember(c.dir, name, p))
		if err := os.MkdirAll(filepath.Join(c.dir, name, "state"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.record = c.newRecord()
	t.Cleanup(func() {
		for _, m := range c.members {
			m.unwant()
		}
		c.kill("")
		for _, m := range c.members {
			if m.ended != nil {
				<-m.ended
			}
		}
	})
	return c
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	if !poll(timeout(t, 20*time.Second), 5*time.Millisecond, done) {
		t.Fatalf("not so after 20 s: %s", what)
	}
}

func testCertificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
