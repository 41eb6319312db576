package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/mem"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/wal"
)

const clusterID = "0b6ad7f1-6b1b-4c1e-9d5e-0a4f3c7a9d11"

// fixture is a member n1, primary of a cluster with n2 and n3, served for real.
type fixture struct {
	t     *testing.T
	ca    *pki.CA
	store *mem.Store
	b     Backend
	s     *Server
	known map[string]peer.Status
}

func newFixture(t *testing.T, change ...func(*Backend)) *fixture {
	t.Helper()
	f := &fixture{t: t, store: mem.New(), known: map[string]peer.Status{}}
	var err error
	if f.ca, err = pki.NewCA(clusterID, time.Now()); err != nil {
		t.Fatal(err)
	}
	state := shortDir(t)
	j, err := journal.Open(filepath.Join(state, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	f.b = Backend{
		Name: "n1", Store: f.store, PKI: f.pki("n1"), Journal: j,
		Config:  spec.Member{Name: "n1", Address: "127.0.0.1", StateDir: state, Listen: spec.Listen{API: "127.0.0.1:0"}},
		Status:  func() peer.Status { return f.known["n1"] },
		Members: func() map[string]peer.Status { return f.known },
	}
	for _, c := range change {
		c(&f.b)
	}
	f.records()
	f.serve()
	return f
}

// shortDir: a socket's path must stay short, which t.TempDir's is not.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgherd-api-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (f *fixture) serve() {
	f.t.Helper()
	s, err := Listen(f.b)
	if err != nil {
		f.t.Fatal(err)
	}
	f.s = s
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("serve: %v", err)
		}
	})
}

func (f *fixture) records() {
	f.put(records.KeySpec, spec.DefaultCluster())
	f.put(records.KeyLease, core.LeaseRecord{Holder: "n1", Term: 4, LSN: 0x5000000})
	for i, name := range []string{"n1", "n2", "n3"} {
		f.put(records.MemberPrefix+name, core.MemberRecord{Name: name, Ordinal: i + 1, Address: "127.0.0.1", APIPort: 1 + i, PGPort: 5432 + i})
		f.known[name] = peer.Status{Name: name, PostgresPID: 100 + i, Instance: core.Instance{
			State: core.StateRunning, Primary: i == 0, Streaming: i > 0, Timeline: 2,
			WriteLSN: 0x5000000, ReceivedLSN: wal.LSN(0x5000000 - 0x100*i),
		}}
	}
	f.put(records.KeyCluster, core.ClusterRecord{ID: clusterID, Name: "main", BootstrapBy: "n1"})
}

// put writes a record whatever was there.
func (f *fixture) put(key string, record any) {
	f.t.Helper()
	if _, err := records.Put(context.Background(), f.store, key, record, f.revision(key)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) revision(key string) int64 {
	s, err := f.store.Snapshot(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	return s.Entries[key].Revision
}

func (f *fixture) snapshot() store.Snapshot {
	f.t.Helper()
	s, err := f.store.Snapshot(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// get reads a record; ok is false when it is not there.
func (f *fixture) get(key string, into any) (ok bool) {
	f.t.Helper()
	s, err := f.store.Snapshot(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	e, ok := s.Entries[key]
	if ok {
		if err := json.Unmarshal(e.Value, into); err != nil {
			f.t.Fatal(err)
		}
	}
	return ok
}

func (f *fixture) pki(name string) pki.Dir {
	f.t.Helper()
	dir := pki.Dir(f.t.TempDir())
	cert, key, err := f.ca.Issue(name, []string{"127.0.0.1"}, time.Now(), time.Hour)
	if err == nil {
		err = f.ca.Save(dir)
	}
	if err == nil {
		err = pki.SaveNode(dir, cert, key)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return dir
}

func (f *fixture) local() *Client {
	c := Local(SocketPath(f.b.Config.StateDir))
	f.t.Cleanup(c.Close)
	return c
}

func (f *fixture) remote(config *tls.Config) *Client {
	c := Pinned(f.s.Addr().String(), f.ca.Fingerprint())
	if config != nil {
		config.InsecureSkipVerify = true // what matters here is whom the server lets in
		setTLS(c, config)
	}
	f.t.Cleanup(c.Close)
	return c
}

func portOf(t *testing.T, a net.Addr) int {
	t.Helper()
	_, text, err := net.SplitHostPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(text)
	return n
}
