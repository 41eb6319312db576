package spec

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
)

// Defaults of the member's file.
const (
	DefaultAPIPort      = 7432
	DefaultPeerPort     = 7433
	DefaultStorePort    = 7434
	DefaultPostgresPort = 5432
	DefaultRWPort       = 6432
	DefaultROPort       = 6433
	DefaultStorePrefix  = "/pgherd"
	DefaultWatchdog     = "/dev/watchdog"
)

// Load reads and parses a member's file. A missing file is fs.ErrNotExist, what is
// wrong inside it is Errors.
func Load(path string) (Member, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Member{}, fmt.Errorf("the member's file cannot be read (`pgherd init` and `pgherd join` write it): %w", err)
	}
	return ParseMember(data, path)
}

// ParseMember reads pgherd.yaml strictly, fills in the defaults and validates. The
// error is Errors with every problem; path is for its messages only.
func ParseMember(data []byte, path string) (Member, error) {
	var m Member
	p := decode(data, path, &m)
	if len(p.list) > 0 { // what could not be read would only be reported again as missing
		return Member{}, p.list
	}
	m = m.WithDefaults()
	m.check(p)
	if err := p.list.orNil(); err != nil {
		return Member{}, err
	}
	return m, nil
}

// Validate lists every problem of a member made in code, as Errors; nil is good.
func (m Member) Validate() error {
	p := &problems{}
	m.check(p)
	return p.list.orNil()
}

// WithDefaults fills in what was not written. bin_dir stays empty: the newest
// PostgreSQL is found on the machine, which is not read here.
func (m Member) WithDefaults() Member {
	def := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	def(&m.Listen.API, fmt.Sprintf("0.0.0.0:%d", DefaultAPIPort))
	def(&m.Listen.Peer, fmt.Sprintf("0.0.0.0:%d", DefaultPeerPort))
	def(&m.Listen.Store, fmt.Sprintf("0.0.0.0:%d", DefaultStorePort))
	if len(m.Store.Endpoints) > 0 {
		def(&m.Store.Prefix, DefaultStorePrefix)
	}
	if m.Witness {
		return m
	}
	if m.StateDir != "" {
		def(&m.Postgres.DataDir, filepath.Join(m.StateDir, "data"))
		def(&m.Postgres.SocketDir, filepath.Join(m.StateDir, "run"))
	}
	if m.Watchdog.Mode == "" {
		m.Watchdog.Mode = WatchdogAutomatic
	}
	def(&m.Watchdog.Device, DefaultWatchdog)
	if m.Postgres.Port == 0 {
		m.Postgres.Port = DefaultPostgresPort
	}
	if m.VIP.Interface != "" {
		def(&m.Postgres.Listen, "*") // the address comes and goes, and PostgreSQL binds at its start
	}
	if m.Address != "" {
		def(&m.Postgres.Listen, listenOn(m.Address))
	}
	return m
}

// listenOn names each address once: binding 127.0.0.1 a second time as localhost
// makes PostgreSQL warn at every start.
func listenOn(address string) string {
	if addr, err := netip.ParseAddr(address); address == "localhost" || err == nil && addr.String() == "127.0.0.1" {
		return address
	}
	return address + ",localhost"
}

// AdvertisedAPI is the HOST:PORT by which others reach this member's API.
func (m Member) AdvertisedAPI() string { return m.advertised(m.Listen.API) }

// AdvertisedPeer is the HOST:PORT of this member's raft traffic.
func (m Member) AdvertisedPeer() string { return m.advertised(m.Listen.Peer) }

// AdvertisedStore is the HOST:PORT for clients of this member's store.
func (m Member) AdvertisedStore() string { return m.advertised(m.Listen.Store) }

func (m Member) advertised(listen string) string {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(m.Address, port)
}

// PortOf is the port of a "host:port" that was checked; 0 of any other text.
func PortOf(listen string) int {
	_, port, _ := net.SplitHostPort(listen)
	n, _ := strconv.Atoi(port)
	return n
}
