package embed_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/embed"
	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/internal/store/storetest"
)

// factory opens contents side by side in one cluster, under prefixes of which
// one is the beginning of the other.
type factory struct {
	endpoints []string
	tls       *tls.Config
	opened    atomic.Int32
}

func (f *factory) Open(t *testing.T) store.Store {
	return f.open(t, "/pgherd/t"+strings.Repeat("x", int(f.opened.Add(1))))
}

func (f *factory) Another(t *testing.T, _ store.Store) store.Store {
	return f.open(t, "/pgherd/t"+strings.Repeat("x", int(f.opened.Load())))
}

func (f *factory) open(t *testing.T, prefix string) store.Store {
	s, err := etcd.Dial(ctx(t), etcd.Config{Endpoints: f.endpoints, TLS: f.tls, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformanceOfOneVoter(t *testing.T) { conformance(t, "n1") }

func TestConformanceOfThreeVoters(t *testing.T) { conformance(t, "n1", "n2", "n3") }

func conformance(t *testing.T, names ...string) {
	c := newCluster(t, names...)
	files := c.ca.Issue(t, c.dir, "client")
	storetest.Run(t, &factory{endpoints: c.endpoints(names...), tls: c.ca.ClientTLS(t, files)})
}

func TestStartRefusesWhatCannotWork(t *testing.T) {
	c := newCluster(t)
	good := c.config("n1")
	good.Initial = map[string]string{"n1": good.PeerAdvertise}
	for want, broken := range map[string]func(*embed.Config){
		"no Dir, Name given": func(c *embed.Config) { c.Name, c.Dir = "", "" },
		`state "old"`:        func(c *embed.Config) { c.State = "old" },
		"initial list":       func(c *embed.Config) { c.Initial = map[string]string{"n2": c.PeerAdvertise} },
		"want https":         func(c *embed.Config) { c.ClientAdvertise = "http://127.0.0.1:1" },
		"no-such.crt":        func(c *embed.Config) { c.CertFile = "/no-such.crt" },
	} {
		cfg := good
		broken(&cfg)
		s, err := embed.Start(ctx(t), cfg)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestPortTaken(t *testing.T) {
	c := newCluster(t)
	cfg := c.config("n1")
	cfg.Initial = map[string]string{"n1": cfg.PeerAdvertise}
	l, err := net.Listen("tcp", cfg.ClientListen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := embed.Start(ctx(t), cfg); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("error %v", err)
	}
	l.Close()
	c.start("n1", cfg.Initial, embed.StateNew) // and nothing of the first try is in the way
	c.ready("n1")
}

func TestNobodyWithoutCertificate(t *testing.T) {
	c := newCluster(t, "n1")
	stranger := storetest.NewCA(t)
	trusting := c.ca.ClientTLS(t, c.ca.Issue(t, c.dir, "client"))
	foreign := stranger.ClientTLS(t, stranger.Issue(t, t.TempDir(), "client"))
	for name, certs := range map[string][]tls.Certificate{"none": nil, "foreign": foreign.Certificates} {
		conf := trusting.Clone()
		conf.Certificates = certs
		for _, addr := range []string{c.config("n1").ClientListen, c.config("n1").PeerListen} {
			if err := handshake(addr, conf); err == nil {
				t.Errorf("certificate %s was accepted at %s", name, addr)
			}
		}
	}
	if err := handshake(c.config("n1").ClientListen, trusting); err != nil {
		t.Errorf("a member's certificate: %v", err)
	}
}

// handshake includes one read: in TLS 1.3 the server refuses after it.
func handshake(addr string, conf *tls.Config) error {
	conf = conf.Clone()
	conf.NextProtos = []string{"h2"}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", addr, conf)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

func TestNewCertificateFilesAreUsed(t *testing.T) {
	c := newCluster(t, "n1")
	conf := c.ca.ClientTLS(t, c.ca.Issue(t, c.dir, "client"))
	addrs := []string{c.config("n1").ClientListen, c.config("n1").PeerListen}
	for _, addr := range addrs {
		servedSerial(t, addr, conf) // etcd is ready before it has read the files for its clients
	}
	renewed := c.ca.Issue(t, c.dir, "n1").Serial
	for _, addr := range addrs {
		if served := servedSerial(t, addr, conf); served.Cmp(renewed) != 0 {
			t.Errorf("%s serves certificate %x, not the renewed %x", addr, served, renewed)
		}
	}
}

func servedSerial(t *testing.T, addr string, conf *tls.Config) *big.Int {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber
}

func TestRestartWithData(t *testing.T) {
	c := newCluster(t, "n1")
	s := c.dial("n1")
	rev, err := s.Put(ctx(t), "k", []byte("kept"), 0)
	if err != nil {
		t.Fatal(err)
	}
	hints := s.Watch(ctx(t), nil)
	<-hints // established, so closing has a stream to break
	began := time.Now()
	c.stop("n1")
	closed := time.Since(began)
	c.restart("n1")
	snap, err := s.Snapshot(ctx(t))
	if err != nil || string(snap.Entries["k"].Value) != "kept" || snap.Entries["k"].Revision != rev {
		t.Fatalf("%v, %v", snap, err)
	}
	t.Logf("closed in %v, answered again %v after the start of closing", closed, time.Since(began))
	if closed > 3*time.Second {
		t.Errorf("closing took %v", closed)
	}
	<-hints // the watch came back by itself
}

// TestWithoutQuorum: a server that cannot get ready starts and closes at once,
// and its client says so in time.
func TestWithoutQuorum(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3")
	s := c.dial("n1", "n2", "n3")
	for _, name := range []string{"n3", "n2", "n1"} {
		c.stop(name)
	}
	n1 := c.restart("n1")
	call, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.Snapshot(call); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("read without a quorum: %v", err)
	}
	select {
	case <-n1.Ready():
		t.Fatal("ready without a quorum")
	default:
	}
	began := time.Now()
	c.stop("n1")
	if closed := time.Since(began); closed > 3*time.Second {
		t.Fatalf("closing took %v", closed)
	}
	for _, name := range []string{"n1", "n2", "n3"} {
		c.restart(name)
	}
	began = time.Now()
	if _, err := s.Put(ctx(t), "k", nil, 0); err != nil {
		t.Fatal(err)
	}
	t.Logf("a write %v after all came back", time.Since(began))
}

func TestOneOfThreeStops(t *testing.T) {
	for _, role := range []string{"leader", "follower"} {
		t.Run(role, func(t *testing.T) {
			c := newCluster(t, "n1", "n2", "n3")
			victim := c.leader()
			if role == "follower" {
				victim = map[string]string{"n1": "n2", "n2": "n3", "n3": "n1"}[victim]
			}
			others := map[string][]string{"n1": {"n2", "n3"}, "n2": {"n1", "n3"}, "n3": {"n1", "n2"}}[victim]
			s := c.dial(append([]string{victim}, others...)...)
			rev, err := s.Put(ctx(t), "lease", []byte("0"), 0)
			if err != nil {
				t.Fatal(err)
			}
			c.stop(victim)
			worst := renewFor(t, s, rev, 3*time.Second)
			t.Logf("longest time between renewals: %v", worst)
			if worst > time.Second {
				t.Errorf("stopping the %s cost %v", role, worst)
			}
			c.restart(victim)
			c.ready(victim)
		})
	}
}

// renewFor renews like a lease holder, every 50 ms with 1 s a call, and gives
// the longest time between successes.
func renewFor(t *testing.T, s store.Store, rev int64, span time.Duration) (worst time.Duration) {
	t.Helper()
	last := time.Now()
	for end := last.Add(span); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var err error
		if rev, err = renew(t, s, rev); err != nil {
			continue
		}
		worst = max(worst, time.Since(last))
		last = time.Now()
	}
	return max(worst, time.Since(last))
}

func renew(t *testing.T, s store.Store, rev int64) (int64, error) {
	call, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	next, err := s.Put(call, "lease", []byte("v"), rev)
	if err == nil {
		return next, nil
	}
	if errors.Is(err, store.ErrConflict) {
		t.Fatalf("a conflict, but nobody else writes: %v", err)
	}
	if snap, err := s.Snapshot(call); err == nil { // the write may have been done
		rev = snap.Entries["lease"].Revision
	}
	return rev, err
}

// TestDamagedData: etcd would end the process here. See also TestDamagedShareIsRecognised.
func TestDamagedData(t *testing.T) {
	c := newCluster(t, "n1")
	c.stop("n1")
	cfg := c.config("n1")
	if err := os.WriteFile(filepath.Join(cfg.Dir, "member", "snap", "db"), []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embed.Start(ctx(t), cfg); !errors.Is(err, embed.ErrDamaged) {
		t.Fatalf("started on damaged data: %v", err)
	} else {
		t.Log(err)
	}
}
