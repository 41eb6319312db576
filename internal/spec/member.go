package spec

import (
	"cmp"
	"slices"
	"strings"
)

// Member is pgherd.yaml: one file a member, written by `init` and `join`.
// Unknown keys are errors. Paths are absolute.
type Member struct {
	Name     string       `yaml:"name"`      // 1–32 of a-z 0-9 -, begins with a letter
	Address  string       `yaml:"address"`   // host name or IP by which the others reach this member
	StateDir string       `yaml:"state_dir"` // keys, embedded store, journal, sockets; 0700
	Witness  bool         `yaml:"witness,omitempty"`
	Listen   Listen       `yaml:"listen"`
	Postgres Postgres     `yaml:"postgres,omitempty"`
	Pooler   MemberPooler `yaml:"pooler,omitempty"`
	Store    Store        `yaml:"store,omitempty"`
	Tags     Tags         `yaml:"tags,omitempty"`
	Watchdog Watchdog     `yaml:"watchdog,omitempty"`
	VIP      Bearer       `yaml:"vip,omitempty"`
	Log      Log          `yaml:"log,omitempty"`
	HooksDir string       `yaml:"hooks_dir,omitempty"` // programs that are told of this member's role; empty: none
}

// Log is what the agent writes to stdout.
type Log struct {
	Level    string `yaml:"level,omitempty"`    // see LogLevels; default info. `pgherd log-level` changes it while the agent runs
	Format   string `yaml:"format,omitempty"`   // text or json; default text
	Postgres string `yaml:"postgres,omitempty"` // stream: PostgreSQL's lines too, the default; file: only in STATE_DIR/postgres.log
}

// Values of Log.
const (
	LogInfo   = "info"
	LogText   = "text"
	LogJSON   = "json"
	LogStream = "stream"
	LogFile   = "file"
)

// WithDefaults fills in what was not written.
func (l Log) WithDefaults() Log {
	return Log{cmp.Or(l.Level, LogInfo), cmp.Or(l.Format, LogText), cmp.Or(l.Postgres, LogStream)}
}

func (l Log) check(p *problems) {
	l = l.WithDefaults()
	if !LogLevel(l.Level) {
		p.add("log.level", "", "%q: want %s", l.Level, strings.Join(LogLevels, ", "))
	}
	if l.Format != LogText && l.Format != LogJSON {
		p.add("log.format", "", "%q: want %s or %s", l.Format, LogText, LogJSON)
	}
	if l.Postgres != LogStream && l.Postgres != LogFile {
		p.add("log.postgres", "", "%q: want %s or %s", l.Postgres, LogStream, LogFile)
	}
}

// LogLevels from all to little.
var LogLevels = []string{"debug", LogInfo, "warn", "error"}

// LogLevel says that there is such a level.
func LogLevel(name string) bool { return slices.Contains(LogLevels, name) }

// Watchdog is the hardware watchdog behind this member's warden.
type Watchdog struct {
	Mode    WatchdogMode `yaml:"mode,omitempty"`
	Device  string       `yaml:"device,omitempty"`  // default /dev/watchdog; any path that takes its bytes
	Timeout Duration     `yaml:"timeout,omitempty"` // whole seconds; default: the longest that the lease bears
}

// WatchdogMode says what a missing watchdog means.
type WatchdogMode string

// The modes. Whoever may open the device has been given it on purpose (it is root's by default), so
// that automatic can be the default.
const (
	WatchdogOff       WatchdogMode = "off"
	WatchdogAutomatic WatchdogMode = "automatic" // used where it can be had
	WatchdogRequired  WatchdogMode = "required"  // without it this member never leads
)

// Listen holds "host:port" addresses; the ports are advertised with Member.Address.
type Listen struct {
	API   string `yaml:"api"`   // HTTPS: API, join, member-to-member status. Default 0.0.0.0:7432
	Peer  string `yaml:"peer"`  // raft traffic of the embedded store. Default 0.0.0.0:7433
	Store string `yaml:"store"` // clients of the embedded store (mutual TLS). Default 0.0.0.0:7434

	// The endpoints for applications; both or none. There is no default: a member without them has none.
	RW string `yaml:"rw,omitempty"` // sends to the primary
	RO string `yaml:"ro,omitempty"` // sends to standbys
}

// Endpoints says that this member offers endpoints.
func (l Listen) Endpoints() bool { return l.RW != "" && l.RO != "" }

// MemberPooler says what serves this member's endpoints; how they pool is in the cluster's spec.
type MemberPooler struct {
	Bin string `yaml:"bin,omitempty"` // PgBouncer's program; default: the one found on this machine
}

// Postgres says where this member's PostgreSQL lives.
type Postgres struct {
	BinDir    string `yaml:"bin_dir,omitempty"`    // default: the newest found on this machine
	DataDir   string `yaml:"data_dir,omitempty"`   // default: STATE_DIR/data
	WalDir    string `yaml:"wal_dir,omitempty"`    // empty: pg_wal inside the data directory
	SocketDir string `yaml:"socket_dir,omitempty"` // default: STATE_DIR/run
	Port      int    `yaml:"port,omitempty"`       // default 5432
	Listen    string `yaml:"listen,omitempty"`     // listen_addresses; default: Address and localhost

	// Parameters of this member alone. Parameters that run commands
	// (archive_command and its like) are taken from here only, never from the network.
	Parameters map[string]string `yaml:"parameters,omitempty"`
}

// Store names an external etcd; without endpoints the embedded one is used.
type Store struct {
	Endpoints []string `yaml:"endpoints,omitempty"` // https://host:port
	Prefix    string   `yaml:"prefix,omitempty"`    // default /pgherd
	CAFile    string   `yaml:"ca_file,omitempty"`
	CertFile  string   `yaml:"cert_file,omitempty"`
	KeyFile   string   `yaml:"key_file,omitempty"`
}

// Tags steer decisions about this member.
type Tags struct {
	Zone       string `yaml:"zone,omitempty" json:"zone,omitempty"`               // failure domain
	Priority   int    `yaml:"priority,omitempty" json:"priority,omitempty"`       // among equal candidates the higher wins; default 0
	NoFailover bool   `yaml:"no_failover,omitempty" json:"no_failover,omitempty"` // never becomes primary
	NoSync     bool   `yaml:"no_sync,omitempty" json:"no_sync,omitempty"`         // never counted for commits
}
