package cli

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/spec"
)

// setup is what init and join share: where the new member lives.
type setup struct {
	m         spec.Member
	apiPort   int
	peerPort  int
	storePort int
	rwPort    int
	roPort    int
	closed    bool   // no endpoints
	without   string // why there are none, though nobody said so
	joining   bool
	user      string // who runs the agent and PostgreSQL; only root chooses
	major     int    // PostgreSQL's; 0 on a witness
}

func (s *setup) flags(cmd *cobra.Command) {
	f, m := cmd.Flags(), &s.m
	f.StringVar(&m.Name, "name", "", "the member's name: 1 to 32 of a-z 0-9 -, beginning with a letter (required)")
	f.StringVar(&m.Address, "address", "", "host name or IP by which the other members reach this one (required)")
	f.StringVar(&m.StateDir, "state-dir", "/var/lib/pgherd", "keys, store, journal, sockets")
	f.StringVar(&s.user, "user", "postgres", "who runs the agent and PostgreSQL; only root can choose")
	f.BoolVar(&m.Witness, "witness", false, "only vote; run no PostgreSQL")

	f.IntVar(&s.apiPort, "api-port", spec.DefaultAPIPort, "HTTPS: API, joins, status between members")
	f.IntVar(&s.peerPort, "peer-port", spec.DefaultPeerPort, "between the members' stores")
	f.IntVar(&s.storePort, "store-port", spec.DefaultStorePort, "for the store's clients")
	f.IntVar(&s.rwPort, "rw-port", spec.DefaultRWPort, "endpoint for applications: wherever the primary is")
	f.IntVar(&s.roPort, "ro-port", spec.DefaultROPort, "endpoint for applications that only read: the standbys")
	f.BoolVar(&s.closed, "no-endpoints", false, "no endpoints on this member")
	f.StringVar(&m.Pooler.Bin, "pgbouncer", "", "PgBouncer's program, for the endpoints (default: the one found)")
	f.StringVar(&m.Listen.API, "listen-api", "", "HOST:PORT instead of all addresses and --api-port")
	f.StringVar(&m.Listen.Peer, "listen-peer", "", "HOST:PORT instead of all addresses and --peer-port")
	f.StringVar(&m.Listen.Store, "listen-store", "", "HOST:PORT instead of all addresses and --store-port")

	f.StringVar(&m.Listen.RW, "listen-rw", "", "HOST:PORT instead of all addresses and --rw-port")
	f.StringVar(&m.Listen.RO, "listen-ro", "", "HOST:PORT instead of all addresses and --ro-port")

	f.IntVar(&m.Postgres.Port, "pg-port", spec.DefaultPostgresPort, "PostgreSQL's port")
	f.IntVar(&m.Postgres.Port, "port", spec.DefaultPostgresPort, "the same as --pg-port")
	f.StringVar(&m.Postgres.BinDir, "bin-dir", "", "PostgreSQL's programs (default: the newest found)")
	f.StringVar(&m.Postgres.DataDir, "data-dir", "", "PostgreSQL's data directory (default: STATE_DIR/data)")
	f.StringVar(&m.Postgres.WalDir, "wal-dir", "", "a directory of its own for the WAL")
	f.StringVar(&m.Postgres.SocketDir, "socket-dir", "", "PostgreSQL's unix socket (default: STATE_DIR/run)")
	f.StringVar(&m.Postgres.Listen, "pg-listen", "", "PostgreSQL's listen_addresses (default: the address and localhost; * with --vip-interface)")

	f.StringVar(&m.Tags.Zone, "zone", "", "failure domain")
	f.IntVar(&m.Tags.Priority, "priority", 0, "among equal candidates the higher becomes primary")
	f.BoolVar(&m.Tags.NoFailover, "no-failover", false, "never becomes primary")
	f.BoolVar(&m.Tags.NoSync, "no-sync", false, "never counted for commits")

	f.StringVar((*string)(&m.Watchdog.Mode), "watchdog", "", "off, automatic, or required: without it this member never leads (default automatic)")
	f.StringVar(&m.Watchdog.Device, "watchdog-device", "", "the watchdog's path (default "+spec.DefaultWatchdog+")")

	f.StringVar(&m.VIP.Interface, "vip-interface", "", "network interface that bears the cluster's virtual address while this member is primary")
	f.StringVar(&m.HooksDir, "hooks-dir", "", "directory of programs that are told of this member's role")

	f.StringSliceVar(&m.Store.Endpoints, "store-endpoint", nil, "https://HOST:PORT of an etcd of your own, instead of the embedded one")
	f.StringVar(&m.Store.Prefix, "store-prefix", "", "key prefix in it")
	f.StringVar(&m.Store.CAFile, "store-ca-file", "", "its CA")
	f.StringVar(&m.Store.CertFile, "store-cert-file", "", "client certificate for it")
	f.StringVar(&m.Store.KeyFile, "store-key-file", "", "key of that certificate")
	for _, secondary := range []string{"port"} {
		_ = f.MarkHidden(secondary) // only fails for a flag that is not there
	}
}

// complete turns the flags into a whole member, or says what is wrong with them. It
// writes PostgreSQL's bin_dir down: a newer version that is installed later must not
// be started on this data.
func (s *setup) complete() error {
	m := &s.m
	for _, l := range []struct {
		listen *string
		port   int
	}{{&m.Listen.API, s.apiPort}, {&m.Listen.Peer, s.peerPort}, {&m.Listen.Store, s.storePort}} {
		if *l.listen == "" {
			*l.listen = net.JoinHostPort("0.0.0.0", strconv.Itoa(l.port))
		}
	}
	if err := s.findPooler(); err != nil {
		return err
	}
	if m.Witness {
		m.Postgres, m.Watchdog = spec.Postgres{}, spec.Watchdog{}
	}
	for _, path := range []*string{&m.StateDir, &m.Postgres.DataDir, &m.Postgres.WalDir, &m.Postgres.SocketDir, &m.Postgres.BinDir, &m.HooksDir} {
		if *path != "" {
			*path = filepath.Clean(*path)
		}
	}
	*m = m.WithDefaults()
	if err := s.validate(); err != nil {
		return &exitError{ExitUsage, "", err}
	}
	return s.findPostgres()
}

// validate judges the member as it will be: a joining one learns the endpoints of an
// external store from the cluster, and has only the credentials for it so far.
func (s *setup) validate() error {
	m := s.m
	own := m.Store.CAFile + m.Store.CertFile + m.Store.KeyFile
	if s.joining && own != "" && len(m.Store.Endpoints) == 0 {
		m.Store.Endpoints = []string{"https://the.cluster.s:2379"}
		m = m.WithDefaults()
	}
	return m.Validate()
}

// findPooler gives the member endpoints when there is a PgBouncer to serve them. Its path is written down
// only when it was given: a newer one is welcome.
func (s *setup) findPooler() error {
	l := &s.m.Listen
	if s.closed {
		l.RW, l.RO = "", ""
		return nil
	}
	if bin := s.m.Pooler.Bin; bin != "" {
		s.m.Pooler.Bin = filepath.Clean(bin)
	}
	_, _, err := pooler.Find(s.m.Pooler.Bin)
	asked := s.m.Pooler.Bin != "" || l.RW != "" || l.RO != ""
	if err != nil && asked {
		return refused("install PgBouncer 1.21 or newer and name it with --pgbouncer, or go without: --no-endpoints", "%w", err)
	}
	if err != nil {
		s.without = fmt.Sprintf("no endpoints for applications: %s", err)
		return nil
	}
	for _, e := range []struct {
		listen *string
		port   int
	}{{&l.RW, s.rwPort}, {&l.RO, s.roPort}} {
		if *e.listen == "" {
			*e.listen = net.JoinHostPort("0.0.0.0", strconv.Itoa(e.port))
		}
	}
	return nil
}

func (s *setup) findPostgres() error {
	if s.m.Witness {
		return nil
	}
	dir, version, err := postgres.FindBinDir(s.m.Postgres.BinDir)
	if err != nil {
		return refused("install PostgreSQL, or name its programs with --bin-dir", "%w", err)
	}
	s.m.Postgres.BinDir, s.major = dir, version.Major
	return nil
}

// ports gives each port with what it is for, as it will be bound.
func (s *setup) ports() map[string]string {
	ports := map[string]string{"--api-port": s.m.Listen.API, "--peer-port": s.m.Listen.Peer, "--store-port": s.m.Listen.Store}
	if len(s.m.Store.Endpoints) > 0 { // no embedded store, no listeners of it
		delete(ports, "--peer-port")
		delete(ports, "--store-port")
	}
	if s.m.Listen.Endpoints() {
		ports["--rw-port"], ports["--ro-port"] = s.m.Listen.RW, s.m.Listen.RO
	}
	if !s.m.Witness {
		ports["--pg-port"] = net.JoinHostPort("localhost", strconv.Itoa(s.m.Postgres.Port))
	}
	return ports
}

func (s *setup) nextSteps(config string) string {
	return fmt.Sprintf("start it with `pgherd run --config %s`, or `systemctl enable --now pgherd`", config)
}
