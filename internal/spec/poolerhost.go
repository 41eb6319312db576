package spec

import (
	"fmt"
	"os"
)

// PoolerHost is pooler.yaml, of a host that only pools; `pgherd pooler join` writes it. Unknown keys are errors.
type PoolerHost struct {
	Name     string       `yaml:"name"`      // as a member's, and no member's
	Address  string       `yaml:"address"`   // host name or IP by which clients reach it
	StateDir string       `yaml:"state_dir"` // keys, PgBouncer's files; 0700
	Listen   PoolerListen `yaml:"listen"`
	Pooler   MemberPooler `yaml:"pooler,omitempty"`
	Log      Log          `yaml:"log,omitempty"` // its postgres is of no account
}

// PoolerListen holds the two "host:port".
type PoolerListen struct {
	RW string `yaml:"rw"` // sends to the primary. Default 0.0.0.0:6432
	RO string `yaml:"ro"` // sends to standbys. Default 0.0.0.0:6433
}

// LoadPoolerHost reads and parses such a file. A missing file is fs.ErrNotExist, what is wrong inside it is Errors.
func LoadPoolerHost(path string) (PoolerHost, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return PoolerHost{}, fmt.Errorf("the pooler's file cannot be read (`pgherd pooler join` writes it): %w", err)
	}
	return ParsePoolerHost(data, path)
}

// ParsePoolerHost reads it strictly, fills in the defaults and validates, as ParseMember does.
func ParsePoolerHost(data []byte, path string) (PoolerHost, error) {
	var h PoolerHost
	p := decode(data, path, &h)
	if len(p.list) > 0 {
		return PoolerHost{}, p.list
	}
	h = h.WithDefaults()
	h.check(p)
	if err := p.list.orNil(); err != nil {
		return PoolerHost{}, err
	}
	return h, nil
}

// WithDefaults fills in what was not written.
func (h PoolerHost) WithDefaults() PoolerHost {
	if h.Listen.RW == "" {
		h.Listen.RW = fmt.Sprintf("0.0.0.0:%d", DefaultRWPort)
	}
	if h.Listen.RO == "" {
		h.Listen.RO = fmt.Sprintf("0.0.0.0:%d", DefaultROPort)
	}
	return h
}

// Validate lists every problem of one made in code, as Errors; nil is good.
func (h PoolerHost) Validate() error {
	p := &problems{}
	h.check(p)
	return p.list.orNil()
}

func (h PoolerHost) check(p *problems) {
	h.Log.check(p)
	p.addErr("name", CheckName(h.Name))
	p.addErr("address", CheckHost(h.Address))
	p.absolute("state_dir", h.StateDir, true)
	rw, ro := p.hostPort("listen.rw", h.Listen.RW), p.hostPort("listen.ro", h.Listen.RO)
	if rw != "" && rw == ro {
		p.add("listen.ro", "", "port %s is also that of listen.rw", ro)
	}
	p.absolute("pooler.bin", h.Pooler.Bin, false)
}

// YAML writes what ParsePoolerHost reads.
func (h PoolerHost) YAML() []byte {
	var w page
	w.line(0, "# This host of the cluster's endpoints; it holds no data. Unknown keys are errors; restart pgherd after a change.", "")
	w.pair(0, "name", h.Name, "")
	w.pair(0, "address", h.Address, "clients reach this host by it")
	w.pair(0, "state_dir", h.StateDir, "keys, PgBouncer's files")
	w.line(0, "listen:", "")
	w.pair(1, "rw", h.Listen.RW, "sends to the primary")
	w.pair(1, "ro", h.Listen.RO, "sends to standbys")
	h.Pooler.render(&w)
	h.Log.render(&w)
	return []byte(w.String())
}
