package embed_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/store/embed"
	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/internal/store/storetest"
	"github.com/pgherd/pgherd/test/ports"
)

const patience = 30 * time.Second

// testCluster is embedded servers of one cluster in this process.
type testCluster struct {
	t       *testing.T
	ca      *storetest.CA
	dir     string
	configs map[string]embed.Config
	servers map[string]*embed.Server
}

// newCluster starts the named founders and waits until all answer.
func newCluster(t *testing.T, founders ...string) *testCluster {
	c := &testCluster{t: t, ca: storetest.NewCA(t), dir: t.TempDir(),
		configs: map[string]embed.Config{}, servers: map[string]*embed.Server{}}
	t.Cleanup(c.close)
	initial := map[string]string{}
	for _, name := range founders {
		initial[name] = c.config(name).PeerAdvertise
	}
	for _, name := range founders {
		c.start(name, initial, embed.StateNew)
	}
	for _, name := range founders {
		c.ready(name)
	}
	return c
}

func (c *testCluster) close() {
	for _, s := range c.servers {
		s.Close()
	}
}

// config makes a member's configuration once; ports and files stay its own.
func (c *testCluster) config(name string) embed.Config {
	c.t.Helper()
	if cfg, made := c.configs[name]; made {
		return cfg
	}
	files := c.ca.Issue(c.t, c.dir, name)
	peer, client := ports.Addr(c.t), ports.Addr(c.t)
	c.configs[name] = embed.Config{
		Name: name, Dir: filepath.Join(c.dir, "data-"+name), ClusterToken: "test", State: embed.StateNew,
		PeerListen: peer, PeerAdvertise: "https://" + peer,
		ClientListen: client, ClientAdvertise: "https://" + client,
		CertFile: files.Cert, KeyFile: files.Key, CAFile: c.ca.File,
		Logger: slog.New(slog.NewTextHandler(testWriter{c.t, name}, nil)),
	}
	return c.configs[name]
}

func (c *testCluster) start(name string, initial map[string]string, state string) *embed.Server {
	c.t.Helper()
	cfg := c.config(name)
	cfg.Initial, cfg.State = initial, state
	s, err := embed.Start(ctx(c.t), cfg)
	if err != nil {
		c.t.Fatalf("start %s: %v", name, err)
	}
	c.servers[name] = s
	return s
}

func (c *testCluster) restart(name string) *embed.Server {
	c.t.Helper()
	return c.start(name, nil, embed.StateNew)
}

func (c *testCluster) stop(name string) {
	c.servers[name].Close()
	delete(c.servers, name)
}

func (c *testCluster) ready(name string) {
	c.t.Helper()
	select {
	case <-c.servers[name].Ready():
	case <-time.After(patience):
		c.t.Fatalf("%s is not ready", name)
	}
}

// dial opens a store whose endpoints are the members in this order.
func (c *testCluster) dial(names ...string) *etcd.Store {
	c.t.Helper()
	files := c.ca.Issue(c.t, c.dir, "client")
	s, err := etcd.Dial(ctx(c.t), etcd.Config{Endpoints: c.endpoints(names...), TLS: c.ca.ClientTLS(c.t, files), Prefix: "/pgherd/test"})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { s.Close() })
	return s
}

func (c *testCluster) endpoints(names ...string) []string {
	urls := make([]string, len(names))
	for i, name := range names {
		urls[i] = c.config(name).ClientAdvertise
	}
	return urls
}

// leader waits for the server that leads.
func (c *testCluster) leader() string {
	c.t.Helper()
	var leader string
	eventually(c.t, "a leader", func() bool {
		for name, s := range c.servers {
			if s.IsLeader() {
				leader = name
			}
		}
		return leader != ""
	})
	return leader
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}

// eventually polls: etcd has no signal for what the others know.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// testWriter keeps etcd's log with the test; it drops what comes after its end.
type testWriter struct {
	t    *testing.T
	name string
}

func (w testWriter) Write(line []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Logf("%s: %s", w.name, line)
	}
	return len(line), nil
}
