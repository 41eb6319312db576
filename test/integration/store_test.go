package integration

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/store/etcd"
)

// lease is the part of the lease's record that tests read.
type lease struct {
	Timeline int
	Holder   string
	Term     uint64
	Released bool
	Sync     struct{ Members []string }
}

// operation is the same of an operation.
type operation struct {
	ID, Kind, Phase, From, To, Text, By string
	AtMS                                int64 `json:"at_ms"`
	Checks                              []struct {
		Member, Check, Text string
		OK                  bool
	}
}

// withStore calls f with a client of the embedded store of the first member that runs
// one; it gives false when none answers.
func (c *cluster) withStore(f func(ctx context.Context, store *clientv3.Client) bool) bool {
	return slices.ContainsFunc(c.members, func(m *member) bool { return m.running() && m.withStore(f) })
}

// withStore does the same with the member's own store, for two seconds at most.
func (m *member) withStore(f func(ctx context.Context, store *clientv3.Client) bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	store, err := m.dialStore(ctx)
	if err != nil {
		return false
	}
	defer store.Close()
	return f(ctx, store.Client())
}

func (m *member) dialStore(ctx context.Context) (*etcd.Store, error) {
	config, err := pki.ClientTLS(pki.Dir(filepath.Join(m.dir, "pki")))
	if err != nil {
		return nil, err
	}
	return etcd.Dial(ctx, etcd.Config{
		Endpoints: []string{"https://" + m.at(m.store)}, Prefix: "/pgherd", TLS: config, Logger: slog.New(slog.DiscardHandler),
	})
}

// voters counts those that really vote; -1 when the store does not answer.
func (c *cluster) voters() (n int) {
	n = -1
	c.withStore(func(ctx context.Context, store *clientv3.Client) bool {
		all, err := store.MemberList(ctx)
		if err != nil {
			return false
		}
		n = 0
		for _, m := range all.Members {
			if !m.IsLearner && m.Name != "" {
				n++
			}
		}
		return true
	})
	return n
}

// lease reads the newest record of leadership.
func (c *cluster) lease() (l lease) {
	c.record("lease", &l)
	return l
}

// operation is the newest record of an operation, which stays after its end.
func (c *cluster) operation() (op operation) {
	c.record("operation", &op)
	return op
}

// record reads one of the cluster's records; what is not there leaves into as it is.
func (c *cluster) record(key string, into any) {
	c.withStore(func(ctx context.Context, store *clientv3.Client) bool {
		r, err := store.Get(ctx, "/pgherd/", clientv3.WithPrefix())
		if err != nil {
			return false
		}
		for _, kv := range r.Kvs {
			if filepath.Base(string(kv.Key)) == key {
				return json.Unmarshal(kv.Value, into) == nil
			}
		}
		return true
	})
}

// votes: the member's own store is a full voter.
func (m *member) votes() (yes bool) {
	m.c.withStore(func(ctx context.Context, store *clientv3.Client) bool {
		all, err := store.MemberList(ctx)
		if err != nil {
			return false
		}
		for _, e := range all.Members {
			yes = yes || e.Name == m.name && !e.IsLearner
		}
		return true
	})
	return yes
}

// waitStore waits until the member's own store answers by consent of the majority. One that led and was frozen takes itself for the
// leader still when it goes on: what it is told to write then is lost with its term.
func (m *member) waitStore() {
	m.c.t.Helper()
	m.c.wait(20*time.Second, "the store of "+m.name+" has a leader", func() bool {
		return m.withStore(func(ctx context.Context, store *clientv3.Client) bool {
			_, err := store.Get(ctx, "/pgherd/")
			return err == nil
		})
	})
}
