package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/health"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/rebuild"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
)

// KeyPGMajor is the store's key of the cluster's PostgreSQL major version, a JSON
// number. The primary's agent writes it; without it a join is not checked for it.
const KeyPGMajor = "pg_major"

// keyOrdinal holds the highest ordinal ever given, so that none is given twice.
const keyOrdinal = "ordinal"

// Backend is what the server needs from the agent. Functions that are nil are left out.
type Backend struct {
	Name    string
	Config  spec.Member
	Store   store.Store
	PKI     pki.Dir
	Journal *journal.Journal
	Log     *slog.Logger

	// Decision is an entry of the journal as people are shown it; nil: they are not.
	Decision func(journal.Entry) peer.Decision

	// Status is what this member says of itself, from memory: it is asked once a
	// second by each other member.
	Status func() peer.Status

	// Believed refuses a snapshot that is not of the store which this member belongs to: one that was given up, or has
	// lost its records, is no ground to decide on. nil: all are believed.
	Believed func(store.Snapshot, core.StoreView) error

	// Health is what load balancers are answered by, from memory. nil: nothing is known.
	Health func() health.Facts

	// Snapshot is what Patroni's documents are made of, from memory. nil: nothing is known.
	Snapshot func() snapshot.Snapshot

	// LogLevel is that of this member's log; nil: it cannot be changed.
	LogLevel interface {
		Level() string
		SetLevel(name string) error
	}

	// Metrics answers scrapes; nil: there are none.
	Metrics http.Handler

	// Members gives the last answers of all members, this one included, by name. A
	// member whose newest answer is too old to speak for now must be left out: it is
	// shown as unreachable.
	Members func() map[string]peer.Status

	// Peers asks the others for their events; nil: only this member's are shown.
	Peers *peer.Client

	// Vouch answers another member that asks to vouch for its lease while the store is silent.
	Vouch func(v core.Vouch) error
	// Kept are the records as this member has written them down; shown while the store does not answer.
	Kept func() core.StoreView

	// What a lost store is rebuilt with: what this member has, the judgement and its execution, and the
	// promise to another member that does it.
	RecoveryAnswer func(ctx context.Context) rebuild.Answer
	Recover        func(ctx context.Context, q rebuild.Question, by string) (rebuild.Verdict, error)
	Retire         func(ctx context.Context, r RetireRequest, by string) error

	// Voting are the members that vote in the embedded store; known is false until it was asked. nil: the store is another's.
	Voting func() (names []string, known bool)

	// RemoveVoter takes the vote of a member that is gone for good. It gives nil when
	// the member has none.
	RemoveVoter func(ctx context.Context, name string) error

	// StoreEndpoints lists the external store's endpoints for joining members; nil or
	// empty for the embedded store.
	StoreEndpoints func() []string

	// TryParameters lets this member's PostgreSQL judge parameters (`postgres -C`).
	TryParameters func(ctx context.Context, parameters map[string]string) error

	// Forks lists what this member keeps of histories that were given up, Fork gives one summary.
	Forks func(context.Context) ([]ForkEntry, error)
	Fork  func(id string) (forks.Summary, error)

	// For watchers who want to know what is so now: the clock of View.Now, and what makes the loop look at once. nil:
	// they get what was seen last.
	Boot func() core.Instant
	Look func()

	// Now is the wall clock, for tokens and certificates; nil: time.Now.
	Now func() time.Time
}

func (b Backend) withDefaults() Backend {
	if b.Log == nil {
		b.Log = slog.New(slog.DiscardHandler)
	}
	if b.Now == nil {
		b.Now = time.Now
	}
	if b.Status == nil {
		b.Status = func() peer.Status { return peer.Status{Name: b.Name} }
	}
	if b.Look == nil {
		b.Look = func() {}
	}
	if b.Health == nil {
		b.Health = func() health.Facts { return health.Facts{} }
	}
	if b.Snapshot == nil {
		b.Snapshot = func() snapshot.Snapshot { return snapshot.Snapshot{} }
	}
	if b.Metrics == nil {
		b.Metrics = http.NotFoundHandler()
	}
	if b.Members == nil {
		b.Members = func() map[string]peer.Status { return map[string]peer.Status{b.Name: b.Status()} }
	}
	return b
}
