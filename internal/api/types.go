package api

import (
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

// ClusterStatus answers GET /v1/status and `pgherd status --json`. Its shape is a
// promise to scripts: fields are added, never renamed.
type ClusterStatus struct {
	Cluster    string           `json:"cluster"`
	ID         string           `json:"id"`
	Term       uint64           `json:"term"`
	Members    []MemberStatus   `json:"members"`
	Conditions []peer.Condition `json:"conditions"` // of the cluster; a member's own are with the member
	Operation  *core.Operation  `json:"operation,omitempty"`
	Endpoints  []EndpointStatus `json:"endpoints,omitempty"`

	At     time.Time       `json:"at,omitzero"` // when this member put it together, by its clock
	Sync   core.SyncSet    `json:"sync"`        // who confirms commits; empty: nobody else than the primary
	Paused bool            `json:"paused,omitempty"`
	Last   *core.Operation `json:"last_operation,omitempty"` // the newest one that is over, or planned
}

// EndpointStatus is one host's pair of endpoints, as it described itself last.
type EndpointStatus struct {
	Name      string   `json:"name"` // a member's, or of a host that only pools
	Address   string   `json:"address"`
	RWPort    int      `json:"rw_port"`
	ROPort    int      `json:"ro_port"`
	Target    string   `json:"target"`  // the member that the read-write endpoint sends to; empty: its clients wait
	Readers   []string `json:"readers"` // those that the read-only endpoint sends to; none: its clients wait
	Clients   int      `json:"clients"` // of both
	PgBouncer string   `json:"pgbouncer,omitempty"`
	Text      string   `json:"text,omitempty"` // what is wrong
}

// Roles and states of members.
const (
	RolePrimary = "primary"
	RoleStandby = "standby"
	RoleWitness = "witness"

	StateRunning     = "running"
	StateStreaming   = "streaming"
	StateStarting    = "starting"
	StateCloning     = "cloning"
	StateRewinding   = "rewinding"
	StateStopped     = "stopped"
	StateUnreachable = "unreachable"
)

// MemberStatus is one member in ClusterStatus.
type MemberStatus struct {
	Name        string       `json:"name"`
	Role        string       `json:"role"`
	State       string       `json:"state"`
	Timeline    wal.Timeline `json:"timeline"`  // 0: not known
	LSN         wal.LSN      `json:"lsn"`       // "0/0": not known
	LagBytes    *int64       `json:"lag_bytes"` // behind the primary; null: not known
	Address     string       `json:"address"`
	Port        int          `json:"port"` // PostgreSQL's; 0 for a witness
	PostgresPID int          `json:"postgres_pid"`
	Progress    string       `json:"progress,omitempty"` // of a clone or rewind

	API         string   `json:"api"`               // HOST:PORT of its API and dashboard
	Follows     string   `json:"follows,omitempty"` // the member that a standby streams from, or would
	Voter       bool     `json:"voter,omitempty"`   // in the embedded store
	Drained     bool     `json:"drained,omitempty"`
	Sessions    int      `json:"sessions,omitempty"` // connected to databases
	SessionsMax int      `json:"sessions_max,omitempty"`
	CommitMS    float64  `json:"commit_ms,omitempty"` // a primary's own small commits, the last ones counting most
	Pending     []string `json:"pending,omitempty"`   // settings that wait for a restart

	Conditions []peer.Condition `json:"conditions"`
}

// Explanation is one member's last decision.
type Explanation struct {
	Member      string        `json:"member"`
	Role        string        `json:"role"`
	State       string        `json:"state"`
	Unreachable bool          `json:"unreachable,omitempty"`
	Decision    peer.Decision `json:"decision"`
}

// Events answers GET /v1/events, oldest first.
type Events struct {
	Events  []journal.Event `json:"events"`
	Missing []string        `json:"missing,omitempty"` // members that were not heard
}

// Kinds of what is kept of a history that was given up.
const (
	ForkWAL  = "fork"           // saved WAL with its summary
	ForkData = "data directory" // set aside by a clone, whole
)

// ForkEntry is one of them. Fields of WAL are zero for a data directory.
type ForkEntry struct {
	ID        string       `json:"id"` // MEMBER/NAME
	Kind      string       `json:"kind"`
	Member    string       `json:"member"`
	SavedAt   time.Time    `json:"saved_at"`
	Path      string       `json:"path"` // on the member
	DiskBytes int64        `json:"disk_bytes"`
	Timeline  wal.Timeline `json:"timeline,omitempty"`
	From      wal.Position `json:"from,omitzero"` // the last position that the primary had too; absent: not known
	To        wal.Position `json:"to,omitzero"`   // where the last whole record begins
	Bytes     int64        `json:"bytes,omitempty"`
	Committed int          `json:"committed,omitempty"`
	Aborted   int          `json:"aborted,omitempty"`
	Acked     bool         `json:"acked,omitempty"` // commits among them may have been acknowledged
	Complete  bool         `json:"complete,omitempty"`
	Missing   []string     `json:"missing,omitempty"`
	Tables    []string     `json:"tables,omitempty"` // those whose names are known
	Named     bool         `json:"named,omitempty"`  // names were looked up
}

// Forks answers GET /v1/forks, oldest first.
type Forks struct {
	Forks   []ForkEntry `json:"forks"`
	Missing []string    `json:"missing,omitempty"` // members that were not heard
}

// ForkDetail answers GET /v1/members/NAME/forks/ID; Summary is nil for a data directory.
type ForkDetail struct {
	ForkEntry
	Summary *forks.Summary `json:"summary,omitempty"`
}

// SpecDocument answers GET /v1/spec.
type SpecDocument struct {
	Revision int64        `json:"revision"`
	Spec     spec.Cluster `json:"spec"`
	YAML     string       `json:"yaml"`
}

// SpecChange is the body of PUT /v1/spec; Revision is that of the document it changes.
type SpecChange struct {
	Revision int64  `json:"revision"`
	YAML     string `json:"yaml"`
}

// SpecResult answers PUT /v1/spec.
type SpecResult struct {
	Revision int64         `json:"revision"` // now in effect
	DryRun   bool          `json:"dry_run,omitempty"`
	Changes  []spec.Change `json:"changes"`
}

// OperationRequest is the body of POST /v1/operations.
type OperationRequest struct {
	Kind      string   `json:"kind"`
	To        string   `json:"to,omitempty"`
	Queue     []string `json:"queue,omitempty"`
	Pending   bool     `json:"pending,omitempty"`
	Force     bool     `json:"force,omitempty"`
	TimeoutMS int64    `json:"timeout_ms,omitempty"`
	MaxWaitMS int64    `json:"max_wait_ms,omitempty"` // switchover, rolling restart: how long open transactions are waited for; then Force ends them
	DryRun    bool     `json:"dry_run,omitempty"`     // switchover: only the checks
	Rolling   bool     `json:"rolling,omitempty"`     // restart: the primary hands over rather than restart in place
	At        string   `json:"at,omitempty"`          // RFC 3339: not before this time, and not ten minutes after it
	Reason    string   `json:"reason,omitempty"`      // for people: why; stands in the operation and its certificate
}

// DrainRequest is the body of PUT /v1/members/NAME/drain, which may be empty: how the primary, if it is one, hands over.
type DrainRequest struct {
	MaxWaitMS int64 `json:"max_wait_ms,omitempty"` // how long open transactions are waited for
	Force     bool  `json:"force,omitempty"`       // then ends them
}

// MemberRequest is the body of POST /v1/members/NAME/requests.
type MemberRequest struct {
	Kind string `json:"kind"`
}

// Accepted answers what was written as an intent. GET /v1/operations/{id} says what became of it.
type Accepted struct {
	ID   string `json:"id,omitempty"`
	Kind string `json:"kind,omitempty"` // what goes on by itself now: switchover, restart or reinit; absent: it is done
	Text string `json:"text"`
}

// TokenRequest is the body of POST /v1/tokens. Lifetime is such as "1h".
type TokenRequest struct {
	Lifetime spec.Duration `json:"lifetime"`
	Witness  bool          `json:"witness,omitempty"`
	Pooler   bool          `json:"pooler,omitempty"` // for a host that only pools
}

// TokenAnswer holds a new token: the only moment at which it is seen.
type TokenAnswer struct {
	Token   string `json:"token"`
	ID      string `json:"id"`
	Expires string `json:"expires"`
	Address string `json:"address"` // host:port to join at
}

// JoinRequest is the body of POST /v1/join.
type JoinRequest struct {
	Token     string    `json:"token"`
	Name      string    `json:"name"`
	Address   string    `json:"address"`
	APIPort   int       `json:"api_port"`
	PeerPort  int       `json:"peer_port"`
	StorePort int       `json:"store_port"`
	PGPort    int       `json:"pg_port"`
	Witness   bool      `json:"witness,omitempty"`
	Tags      spec.Tags `json:"tags"`
	CSR       string    `json:"csr"` // PEM
	PGMajor   int       `json:"pg_major,omitempty"`
	Nonce     string    `json:"nonce"` // peer.ProbeListener's
}

// JoinAnswer is everything a new member needs. It holds the CA's key: a secret.
type JoinAnswer struct {
	ClusterID      string              `json:"cluster_id"`
	Cluster        string              `json:"cluster"`
	Ordinal        int                 `json:"ordinal"`
	CACert         string              `json:"ca_cert"`
	CAKey          string              `json:"ca_key"`
	NodeCert       string              `json:"node_cert"`
	Members        []core.MemberRecord `json:"members"` // the new one included
	StoreEndpoints []string            `json:"store_endpoints,omitempty"`
	StorePrefix    string              `json:"store_prefix,omitempty"`
	Spec           spec.Cluster        `json:"spec"`
}
