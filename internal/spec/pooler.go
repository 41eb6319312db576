package spec

import (
	"slices"
	"strconv"
	"time"
)

// Pooler says how the endpoints of all hosts pool connections, and whom they send readers to. Whoever
// reads it takes PoolerRules: a spec that an older version wrote has none.
type Pooler struct {
	Off        bool     `yaml:"off" json:"off,omitempty"`                 // no endpoints anywhere
	Mode       PoolMode `yaml:"mode" json:"mode"`                         // default transaction
	PoolSize   int      `yaml:"pool_size" json:"pool_size"`               // server connections for each database and user; default 20
	MaxClients int      `yaml:"max_clients" json:"max_clients"`           // of each endpoint; default 1000
	MaxServers int      `yaml:"max_servers" json:"max_servers,omitempty"` // server connections of each endpoint for each database; 0: no limit but PoolSize
	QueryWait  Duration `yaml:"query_wait" json:"query_wait"`             // a statement that no server was free for fails after it; default 30s
	// ReadLagMaxBytes is how much WAL a standby may still have to replay before it gets no readers any more.
	// It gets them again at half of it. Default 16 MiB.
	ReadLagMaxBytes int64 `yaml:"read_lag_max_bytes" json:"read_lag_max_bytes"`
	ReadFromPrimary bool  `yaml:"read_from_primary" json:"read_from_primary,omitempty"` // the primary is one of the readers' targets
}

// PoolMode says when a client gives its server connection back.
type PoolMode string

// The modes. With session a planned handover waits for clients to disconnect.
const (
	PoolTransaction PoolMode = "transaction"
	PoolSession     PoolMode = "session"
)

// QueryWaitMin is longer than a planned handover holds clients when it goes as it should.
const QueryWaitMin = 15 * time.Second

// DefaultPooler is the section in a spec that nobody changed.
func DefaultPooler() Pooler {
	return Pooler{Mode: PoolTransaction, PoolSize: 20, MaxClients: 1000, QueryWait: Duration(30 * time.Second), ReadLagMaxBytes: 16 << 20}
}

// PoolerRules is Pooler, or the defaults in a spec that has none.
func (c Cluster) PoolerRules() Pooler {
	if c.Pooler == (Pooler{}) {
		return DefaultPooler()
	}
	return c.Pooler
}

func (r Pooler) check(p *problems) {
	if !slices.Contains([]PoolMode{PoolTransaction, PoolSession}, r.Mode) {
		p.add("pooler.mode", "", "%q: want transaction or session", r.Mode)
	}
	for _, n := range []struct {
		key             string
		value, min, max int
	}{
		{"pooler.pool_size", r.PoolSize, 1, 10000}, {"pooler.max_clients", r.MaxClients, 1, 100000}, {"pooler.max_servers", r.MaxServers, 0, 10000},
	} {
		if n.value < n.min || n.value > n.max {
			p.add(n.key, "", "%d: want %d to %d", n.value, n.min, n.max)
		}
	}
	if w := r.QueryWait.D(); w < QueryWaitMin || w > time.Hour {
		p.add("pooler.query_wait", "", "%s: want %s to 1h: clients wait for so long while the primary moves", w, QueryWaitMin)
	}
	if r.ReadLagMaxBytes < 0 {
		p.add("pooler.read_lag_max_bytes", "", "%d: want 0 or more", r.ReadLagMaxBytes)
	}
}

func (r Pooler) render(w *page) {
	w.line(0, "pooler:", "the read-write and the read-only endpoint of each host")
	if r.Off {
		w.pair(1, "off", "true", "no endpoints anywhere")
	}
	w.pair(1, "mode", string(r.Mode), "transaction, or session: a planned handover then waits for clients to disconnect")
	w.pair(1, "pool_size", strconv.Itoa(r.PoolSize), "server connections for each database and user")
	w.pair(1, "max_clients", strconv.Itoa(r.MaxClients), "of each endpoint")
	w.pair(1, "max_servers", strconv.Itoa(r.MaxServers), "server connections for each database; 0: no limit but pool_size")
	w.pair(1, "query_wait", r.QueryWait.D().String(), "a statement that waits longer for a server fails")
	w.pair(1, "read_lag_max_bytes", strconv.FormatInt(r.ReadLagMaxBytes, 10), "a standby further behind gets no readers")
	w.pair(1, "read_from_primary", strconv.FormatBool(r.ReadFromPrimary), "true: the primary gets readers too")
}

func (r Pooler) diff(d *differ, is Pooler) {
	const byItself = "the endpoints take it up while they run"
	add := func(key, old, new string) { d.add("pooler."+key, old, new, EffectNone, byItself) }
	add("off", strconv.FormatBool(r.Off), strconv.FormatBool(is.Off))
	add("mode", string(r.Mode), string(is.Mode))
	add("pool_size", strconv.Itoa(r.PoolSize), strconv.Itoa(is.PoolSize))
	add("max_clients", strconv.Itoa(r.MaxClients), strconv.Itoa(is.MaxClients))
	add("max_servers", strconv.Itoa(r.MaxServers), strconv.Itoa(is.MaxServers))
	add("query_wait", r.QueryWait.D().String(), is.QueryWait.D().String())
	add("read_lag_max_bytes", strconv.FormatInt(r.ReadLagMaxBytes, 10), strconv.FormatInt(is.ReadLagMaxBytes, 10))
	add("read_from_primary", strconv.FormatBool(r.ReadFromPrimary), strconv.FormatBool(is.ReadFromPrimary))
}
