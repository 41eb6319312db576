package poolerhost

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/endpoint/sourcetest"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/mem"
	"github.com/pgherd/pgherd/internal/store/records"
)

// fixture is a cluster of one store, whose members serve its API for real, and a host app1 that has joined.
type fixture struct {
	t     *testing.T
	ca    *pki.CA
	store *mem.Store
	dir   pki.Dir // of the host
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, store: mem.New(), dir: pki.Dir(t.TempDir())}
	const id = "0b6ad7f1-6b1b-4c1e-9d5e-0a4f3c7a9d11"
	var err error
	if f.ca, err = pki.NewCA(id, time.Now()); err != nil {
		t.Fatal(err)
	}
	f.put(records.KeyCluster, core.ClusterRecord{ID: id, Name: "main"})
	f.put(records.KeySpec, spec.DefaultCluster())
	f.certificate(time.Now(), pki.NodeLifetime)
	return f
}

// certificate gives the host one that was made at a time.
func (f *fixture) certificate(at time.Time, lifetime time.Duration) {
	f.t.Helper()
	key, csr, err := pki.NewKeyAndCSR("app1", nil)
	var cert []byte
	if err == nil {
		cert, err = f.ca.SignPooler(csr, "app1", []string{"127.0.0.1"}, at, lifetime)
	}
	if err == nil {
		err = pki.SavePooler(f.dir, f.ca.Fingerprint(), f.ca.CertPEM(), cert, key)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) put(key string, record any) {
	f.t.Helper()
	now, err := f.store.Snapshot(context.Background())
	if err == nil {
		_, err = records.Put(context.Background(), f.store, key, record, now.Entries[key].Revision)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// register is what the API does at the host's join.
func (f *fixture) register() {
	f.put("poolerhosts/app1", api.PoolerHost{Name: "app1", Address: "127.0.0.1"})
}

// member serves its API until stop.
func (f *fixture) member(name string, ordinal int) (m core.MemberRecord, stop func()) {
	f.t.Helper()
	state, err := os.MkdirTemp("/tmp", "pgherd-ph-") // a socket's path must stay short
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { os.RemoveAll(state) })
	j, err := journal.Open(filepath.Join(state, "journal"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(j.Close)
	keys := pki.Dir(f.t.TempDir())
	cert, key, err := f.ca.Issue(name, []string{"127.0.0.1"}, time.Now(), time.Hour)
	if err := errors.Join(err, f.ca.Save(keys), pki.SaveNode(keys, cert, key)); err != nil {
		f.t.Fatal(err)
	}
	server, err := api.Listen(api.Backend{
		Name: name, Store: f.store, PKI: keys, Journal: j, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Config:  spec.Member{Name: name, Address: "127.0.0.1", StateDir: state, Listen: spec.Listen{API: "127.0.0.1:0"}},
		Status:  func() peer.Status { return peer.Status{} },
		Members: func() map[string]peer.Status { return nil },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(ctx) }()
	stop = func() { cancel(); <-ended }
	f.t.Cleanup(stop)
	_, port, _ := net.SplitHostPort(server.Addr().String())
	n, _ := strconv.Atoi(port)
	m = core.MemberRecord{Name: name, Ordinal: ordinal, Address: "127.0.0.1", APIPort: n, PGPort: 5432}
	f.put(records.MemberPrefix+name, m)
	return m, stop
}

func (f *fixture) tls() *tls.Config {
	f.t.Helper()
	config, err := pki.PoolerTLS(f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	return config
}

var quiet = Notices{Members: func([]core.MemberRecord) {}, Removed: func() {}}

func (f *fixture) source(members ...core.MemberRecord) *Source {
	s := NewSource(f.tls(), members, quiet)
	f.t.Cleanup(s.Close)
	return s
}

func TestSource(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Cluster {
		f := newFixture(t)
		f.register()
		m, _ := f.member("n1", 1)
		return sourcetest.Cluster{Source: f.source(m), Name: "app1", Put: f.put}
	})
}

// TestSourceAsksAnother: a member that is gone, and one of which the host did not know when it joined.
func TestSourceAsksAnother(t *testing.T) {
	f := newFixture(t)
	f.register()
	ctx := context.Background()
	first, stop := f.member("n1", 1)
	var remembered []core.MemberRecord
	s := NewSource(f.tls(), []core.MemberRecord{first}, Notices{Members: func(m []core.MemberRecord) { remembered = m }})
	defer s.Close()
	f.member("n2", 2)
	if _, err := s.State(ctx); err != nil || len(remembered) != 2 {
		t.Fatalf("%v; it remembers %+v", err, remembered)
	}
	hints := s.Watch(t.Context())
	<-hints
	stop()
	if v, err := s.State(ctx); err != nil || len(v.Members) != 2 {
		t.Fatalf("with one member gone: %v", err)
	}
	revision, err := s.Put(ctx, core.PoolerRecord{Name: "app1"}, 0)
	if err != nil || revision == 0 {
		t.Errorf("a record: %v", err)
	}
	for late := time.After(10 * time.Second); ; {
		f.put(records.KeyLease, core.LeaseRecord{Holder: "n2", Term: uint64(time.Now().UnixNano())})
		select {
		case <-hints:
			return
		case <-time.After(50 * time.Millisecond):
		case <-late:
			t.Fatal("nobody is watched any more")
		}
	}
}

// TestSourceRemoved: the certificate is good still, and opens nothing. What nobody removed is not told to be.
func TestSourceRemoved(t *testing.T) {
	f := newFixture(t)
	m, _ := f.member("n1", 1)
	m2, _ := f.member("n2", 2)
	removed, reads := 0, []error{}
	s := NewSource(f.tls(), []core.MemberRecord{m, m2}, Notices{Members: quiet.Members, Removed: func() { removed++ }, Read: func(err error) { reads = append(reads, err) }})
	defer s.Close()
	expect := func(what string, want error, removals int) {
		t.Helper()
		if _, err := s.State(context.Background()); !errors.Is(err, want) || removed != removals {
			t.Errorf("state when %s: %v, told of %d removals", what, err, removed)
		}
		if _, err := s.Put(context.Background(), core.PoolerRecord{Name: "app1"}, 0); !errors.Is(err, want) {
			t.Errorf("put when %s: %v", what, err)
		}
	}
	expect("nobody knows it", ErrUnknown, 0)
	f.put("poolerremovals/app1", api.PoolerRemoval{Name: "app1"})
	expect("it is removed", ErrRemoved, 1)
	f.register()
	if _, err := s.State(context.Background()); !errors.Is(err, ErrRemoved) {
		t.Errorf("a removal counts more than a registration: %v", err)
	}
	if len(reads) != 3 || !errors.Is(reads[0], ErrUnknown) {
		t.Errorf("told of the readings: %v", reads)
	}
}

// TestRenew: with another key, and for as long as the first.
func TestRenew(t *testing.T) {
	f := newFixture(t)
	f.register()
	m, _ := f.member("n1", 1)
	now := time.Now()
	h := &host{o: Options{Config: spec.PoolerHost{Name: "app1", Address: "127.0.0.1"}}, pki: f.dir}
	for _, one := range []struct {
		made          time.Time
		renewed, ends bool
	}{
		{now, false, false},
		{now.Add(-pki.NodeLifetime * 3 / 4), true, false},
		{now.Add(-pki.NodeLifetime - time.Hour), false, true},
	} {
		f.certificate(one.made, pki.NodeLifetime)
		before, _ := os.ReadFile(f.dir.NodeKey())
		h.source = f.source(m)
		renewed, err := h.renew(context.Background(), now)
		after, _ := os.ReadFile(f.dir.NodeKey())
		if renewed != one.renewed || (err != nil) != one.ends || (string(before) != string(after)) != one.renewed {
			t.Errorf("made %v ago: renewed %v, %v", now.Sub(one.made), renewed, err)
		}
		if _, err := h.source.State(context.Background()); (err != nil) != one.ends {
			t.Errorf("made %v ago: then %v", now.Sub(one.made), err)
		}
	}
}
