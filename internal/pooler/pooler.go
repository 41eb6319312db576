package pooler

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"
)

// Settings are the sizes and limits of one endpoint. A zero value means the default.
type Settings struct {
	Mode       string        // "transaction" (default) or "session", in which a Pause waits for each client to go
	PoolSize   int           // server connections for each pair of user and database
	MaxServers int           // server connections to one database, of all users; 0: no limit
	MaxClients int           // client connections of all
	QueryWait  time.Duration // how long a client waits for a server connection before it is dropped; more than any hold
}

// Config is what one PgBouncer is made from. Paths are absolute.
type Config struct {
	Bin      string // the program; empty: Find looks for it
	Dir      string // its own, made with mode 0700: pgbouncer.ini, socket, pid file, log. A short path: a socket's name has 107 bytes
	Listen   string // host:port for clients, TLS only; host may be "*" (all addresses)
	ReadOnly bool   // spread over all targets, and again every few minutes

	CertFile, KeyFile, CAFile string // the node's certificate: shown to clients, and to PostgreSQL for AuthUser

	AuthUser  string // the role that looks others up: by certificate, it has no password
	AuthDB    string // the database that it does so in
	AuthQuery string // gives (name, secret) for $1
	Settings  Settings
	Log       *slog.Logger // nil: nothing is logged
}

// Target is where one member's PostgreSQL listens.
type Target struct {
	Host string // address or name
	Port int
}

func (t Target) String() string { return net.JoinHostPort(t.Host, strconv.Itoa(t.Port)) }

// Version is PgBouncer's.
type Version struct{ Major, Minor, Patch int }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// AtLeast compares major and minor.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Server is one connection from PgBouncer to a PostgreSQL.
type Server struct {
	Target    Target
	Database  string
	User      string
	RemotePID int    // of its backend in PostgreSQL; 0: not known
	Active    bool   // a client's transaction (or session) has it
	Client    string // that client's address; empty: none, or a unix socket
	Since     time.Time
}

// State is what one PgBouncer says of itself.
type State struct {
	Running bool // its console answers
	PID     int
	Version Version
	Paused  bool
	Clients int // connected
	Waiting int // of them, those with a statement that waits for a server connection
	Active  int // server connections in use: what a PAUSE waits for
	Targets []Target
	Servers []Server
}

// Pooler is one endpoint: a port that clients connect to, and where it sends them. Safe for concurrent
// use; each method is bounded by its ctx.
type Pooler interface {
	// Ensure makes the endpoint run and send to targets: it adopts the process that an earlier owner
	// left, or starts one, detached: it survives its owner. A pause that is in effect stays.
	// Without targets clients wait until Route gives some.
	Ensure(ctx context.Context, targets []Target) error
	// Route sends to targets from now on. Connections to others end at their release; who cannot
	// wait for that calls DropStale. Nothing is done when nothing changed. Before a Resume it makes sure that
	// nobody is sent to the old targets.
	Route(ctx context.Context, targets []Target) error
	// Pause lets no transaction begin and returns when none is open. When ctx ends before that, clients are
	// still held: Resume lets them go.
	Pause(ctx context.Context) error
	// Hold is Pause that does not wait for open transactions.
	Hold(ctx context.Context) error
	// Resume lets clients go. Without a pause it does nothing.
	Resume(ctx context.Context) error
	// DropStale ends connections to servers that are not in keep, with the clients whose transaction is open
	// there; others stay. It says how many clients that were.
	DropStale(ctx context.Context, keep []Target) (clients int, err error)
	// DropActive ends the clients that have a server connection in use: what a Pause waits for.
	DropActive(ctx context.Context) (clients int, err error)
	// State looks. A process that does not run is no error: State.Running says so.
	State(ctx context.Context) (State, error)
	// Stop ends the process, and with it its clients' connections.
	Stop(ctx context.Context) error
}
