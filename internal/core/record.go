package core

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

// The records below are the cluster's whole agreed state, one JSON value per store
// key. Unknown fields are ignored on reading, so that readers can be older than writers.

// ClusterRecord (key "cluster") is the cluster's identity.
type ClusterRecord struct {
	ID          string `json:"id"` // UUID
	Name        string `json:"name"`
	BootstrapBy string `json:"bootstrap_by"`        // the one member that may ever run initdb
	SystemID    string `json:"system_id,omitempty"` // PostgreSQL's; set once, after the only initdb
	CreatedAt   string `json:"created_at"`          // RFC 3339, for people only
	// Generation grows each time that a lost store is rebuilt (`pgherd recover`): of two stores
	// with this cluster's records, the one of the higher generation is the cluster.
	Generation  uint64 `json:"generation,omitempty"`
	RecoveredBy string `json:"recovered_by,omitempty"` // for people only, as is
	RecoveredAt string `json:"recovered_at,omitempty"`
}

// LeaseRecord (key "lease") is leadership. It also carries the sync set, because a
// change of leader and a change of who may be promoted must never be seen apart.
type LeaseRecord struct {
	Holder   string       `json:"holder"`
	Term     uint64       `json:"term"` // grows by one with each change of leadership
	Beat     uint64       `json:"beat"` // grows with each renewal, so that the revision changes
	Released bool         `json:"released,omitempty"`
	Final    wal.Position `json:"final,omitzero"` // set when released after a clean stop: nothing exists after it
	// TTL and Margin are those that the holder goes by. Everybody judges this record by its
	// own timing: a spec that is edited reaches the members at different moments, and a
	// holder that already trusts a longer ttl would meet a candidate that waits the shorter.
	TTL    spec.Duration `json:"ttl"`
	Margin spec.Duration `json:"margin"`
	// Timeline is the number that this term's promotion gives its timeline. No other term's has
	// it: two members promoted from one timeline without knowing of each other would call
	// theirs by the same number, and PostgreSQL would mix their histories without a word.
	Timeline wal.Timeline `json:"timeline,omitempty"`
	LSN      wal.LSN      `json:"lsn,omitempty"`  // the primary's write position at the last beat: what max_lag is measured from
	On       wal.Timeline `json:"on,omitempty"`   // the timeline of LSN; 0: not known
	Past     wal.History  `json:"past,omitempty"` // how that came to be: the newest of its forks
	Sync     SyncSet      `json:"sync"`
	Known    int          `json:"known,omitempty"`   // the highest ordinal of a member that the holder knew: see vacant
	Written  bool         `json:"written,omitempty"` // the holder has been primary in this term
	// Lost says which takeovers may have left commits behind that clients were told of. An entry
	// stays until its member is back, and what it alone had is known.
	Lost []Loss `json:"lost,omitempty"`
	// Flaps counts changes of leadership that nobody asked for, until a holder has led well for a
	// while. Each doubles the patience with a disk: where all are slow, the next would be no better.
	Flaps int `json:"flaps,omitempty"`
}

// pastMax is how many forks a lease tells of. An older one counts as if nothing were shared after it.
const pastMax = 32

// shared is how far the history of a standby goes along with what LSN speaks of. Who left that timeline early, or is on
// another, has nothing of what came after, however long its own WAL is.
func (l *LeaseRecord) shared(i *Instance) wal.Position {
	at := i.Position()
	if l.On != 0 {
		at.LSN = min(at.LSN, i.History.Parting(at.Timeline, l.Past, l.On))
	}
	return at
}

// spokenOf fills in what LSN speaks of.
func (l *LeaseRecord) spokenOf(i *Instance) {
	l.On = max(i.Timeline, i.CheckpointTimeline)
	l.Past = i.History[max(0, len(i.History)-pastMax):]
}

// Loss is one takeover that could not prove to have everything.
type Loss struct {
	Member string       `json:"member"` // the holder of before
	Term   uint64       `json:"term"`   // its last
	From   wal.Position `json:"from"`   // where the new holder took over
	To     wal.LSN      `json:"to"`     // what the old one had published last; it may have written more
}

// Vouch is what the holder asks of every other member, directly, while the store does not answer it: to
// judge this lease from now on as if it had just been renewed. It is refused by whoever knows
// anything else than what it says.
type Vouch struct {
	Cluster string        `json:"cluster"`
	Holder  string        `json:"holder"`
	Term    uint64        `json:"term"`
	TTL     spec.Duration `json:"ttl"` // of the lease; a member that knows another would wait another
	Margin  spec.Duration `json:"margin"`
	Members []Joining     `json:"members"` // all that the holder knows: a member that knows of one more refuses
}

// Joining names one joining of a member: a name alone may have been given twice.
type Joining struct {
	Name    string `json:"name"`
	Ordinal int    `json:"ordinal"`
}

// Joinings names the joinings of members, in their order.
func Joinings(members []MemberRecord) (out []Joining) {
	for _, m := range members {
		out = append(out, Joining{m.Name, m.Ordinal})
	}
	return out
}

// SyncSet says where acknowledged commits are: each is on the holder and on at least
// K of Members. An empty set means: on the holder only.
type SyncSet struct {
	Members []string `json:"members,omitempty"` // sorted
	K       int      `json:"k,omitempty"`
}

// mustHear is how many members of the set an election must hear: see quorum.go.
func (s SyncSet) mustHear() int { return len(s.Members) - s.K + 1 }

func (s SyncSet) text() string {
	if len(s.Members) == 0 {
		return "nobody else"
	}
	return "any " + strconv.Itoa(s.K) + " of " + strings.Join(s.Members, ", ")
}

// same: commits are kept on the same members, on as many. (It is asked several times a tick.)
func (s SyncSet) same(o SyncSet) bool {
	return slices.Equal(s.Members, o.Members) && (s.K == o.K || len(s.Members) == 0)
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(name string) bool { return !slices.Contains(b, name) })
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// MemberRecord (key "members/NAME") is one member, written by its join.
type MemberRecord struct {
	Name      string    `json:"name"`
	Ordinal   int       `json:"ordinal"` // order of joining, from 1; first members vote
	Address   string    `json:"address"`
	APIPort   int       `json:"api_port"`
	PeerPort  int       `json:"peer_port"`
	StorePort int       `json:"store_port"`
	PGPort    int       `json:"pg_port"` // 0 for a witness
	Witness   bool      `json:"witness,omitempty"`
	Tags      spec.Tags `json:"tags,omitzero"`
}

// VotersMax is how many members vote in the embedded store: more would make every write slower and no failure more
// survivable in practice.
const VotersMax = 5

// Voters are the names of those who are to vote of all members, sorted by ordinal: the ones who joined first.
func Voters(all []MemberRecord) (names []string) {
	for _, m := range all[:min(VotersMax, len(all))] {
		names = append(names, m.Name)
	}
	return names
}

// NotVoting are those who are to vote of all members and are not among who does.
func NotVoting(all []MemberRecord, votes []string) []string {
	return slices.DeleteFunc(Voters(all), func(name string) bool { return slices.Contains(votes, name) })
}

// Confirms says that commits may be counted on the member while another one leads.
func (m *MemberRecord) Confirms() bool {
	return !m.Witness && !m.Tags.NoSync && !m.Tags.NoFailover
}

// Confirming are the members, sorted by name, that commits of leader may be counted on.
func (s *StoreView) Confirming(leader string) []string {
	names := make([]string, 0, len(s.Members))
	for i := range s.Members {
		if m := &s.Members[i]; m.Name != leader && m.Confirms() {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// PoolerRecord (key "poolers/NAME") is one host's pair of endpoints. Whoever runs them writes it: when
// something in it changes, and every PoolerBeat.
type PoolerRecord struct {
	Name    string      `json:"name"` // of its certificate: a member's, or of a host that only pools
	Address string      `json:"address"`
	RWPort  int         `json:"rw_port"`
	ROPort  int         `json:"ro_port"`
	Version string      `json:"version,omitempty"` // PgBouncer's
	Beat    uint64      `json:"beat"`              // grows with each writing, so that silence shows
	Term    uint64      `json:"term,omitempty"`    // of the lease that the read-write endpoint goes by
	Target  string      `json:"target,omitempty"`  // the member that it sends to; empty: clients are held, or it does not run
	Readers []string    `json:"readers,omitempty"` // members that the read-only endpoint sends to, sorted
	Clients int         `json:"clients"`           // of both, as of this writing
	Text    string      `json:"text,omitempty"`    // what is wrong with it; empty: nothing
	Hold    *PoolerHold `json:"hold,omitempty"`    // its part in the newest handover
}

// PoolerBeat is how often a pooler writes its record at least; who has been silent for PoolerGone
// is not waited for.
const (
	PoolerBeat = 10 * time.Second
	PoolerGone = 25 * time.Second
)

// PoolerHold is a pooler's answer to an operation in PhaseHolding. It stays until the next one.
type PoolerHold struct {
	Operation string   `json:"operation"`          // its ID
	State     string   `json:"state"`              // of the constants below
	Clients   int      `json:"clients"`            // connected to the read-write endpoint when it was held
	Waiting   int      `json:"waiting,omitempty"`  // of them, those that had a statement waiting when it was let go
	Errors    int      `json:"errors,omitempty"`   // of them, those that were dropped
	HeldMS    float64  `json:"held_ms,omitempty"`  // from PAUSE to RESUME; when it was let go
	DrainMS   float64  `json:"drain_ms,omitempty"` // of that, until no transaction was open
	Blockers  []string `json:"blockers,omitempty"` // what did not end in time, for people
	Text      string   `json:"text,omitempty"`     // why it failed
}

// States of a pooler's hold.
const (
	HoldHolding = "holding" // waits for open transactions
	HoldHeld    = "held"    // no transaction is open, none begins
	HoldFailed  = "failed"  // and clients go on
	HoldOver    = "over"    // clients go on, at PoolerRecord.Target
)

// Operation kinds.
const (
	OpSwitchover = "switchover"
	OpFailover   = "failover" // by hand, when there is no leader; Force accepts stated loss
	OpRestart    = "restart"  // members with pending settings, or those in Queue
)

// Operation phases; a phase is written before its action.
const (
	PhaseScheduled = "scheduled" // it becomes requested at its time
	PhaseRequested = "requested"
	PhaseHolding   = "holding"  // poolers let no transaction begin any more
	PhaseStopping  = "stopping" // the old primary is being stopped
	PhaseDone      = "done"
	PhaseAborted   = "aborted"
)

// Operation (key "operation") is the one cluster-wide operation, kept after its end
// until the next one replaces it.
type Operation struct {
	ID        string   `json:"id"`
	Kind      string   `json:"kind"`
	From      string   `json:"from,omitempty"`
	To        string   `json:"to,omitempty"`        // empty in a switchover: the best candidate
	Candidate string   `json:"candidate,omitempty"` // of a switchover: passed the checks, and is made ready; see decider.source
	Queue     []string `json:"queue,omitempty"`
	Pending   bool     `json:"pending,omitempty"` // restart whoever has pending settings
	Phase     string   `json:"phase"`
	Term      uint64   `json:"term,omitempty"` // of the driver that wrote the phase
	Force     bool     `json:"force,omitempty"`
	By        string   `json:"by,omitempty"`
	Reason    string   `json:"reason,omitempty"` // why it was asked for
	Text      string   `json:"text,omitempty"`   // why it ended as it did
	TimeoutMS int64    `json:"timeout_ms,omitempty"`
	// MaxWaitMS is how long open transactions may keep the poolers from holding; 0: HoldWait. With
	// Force, what is still open then is terminated; else the operation is taken back.
	MaxWaitMS int64 `json:"max_wait_ms,omitempty"`
	AtMS      int64 `json:"at_ms,omitempty"`   // in PhaseScheduled: when it is to begin, ms since 1970
	DryRun    bool  `json:"dry_run,omitempty"` // only check
	Rolling   bool  `json:"rolling,omitempty"` // restart: a primary hands over rather than restart in place
	Resume    bool  `json:"resume,omitempty"`  // a switchover within a rolling restart, which goes on after it

	Checks      []Check     `json:"checks,omitempty"`
	Certificate Certificate `json:"certificate,omitzero"`
}

// Check is one thing that was looked at before a switchover.
type Check struct {
	Member string `json:"member"`
	Name   string `json:"check"` // stable: scripts match on it
	OK     bool   `json:"ok"`
	Text   string `json:"text"`
}

// Certificate proves a switchover: the old primary's WAL ended at Shutdown, and the new one had
// received all of it before it led. So nothing was lost.
type Certificate struct {
	Shutdown  wal.LSN      `json:"shutdown,omitempty"` // where the shutdown checkpoint begins, the last record of the old timeline
	Received  wal.Position `json:"received,omitzero"`  // by the new primary, when the lease was handed over; beyond Shutdown
	AheadMS   float64      `json:"ahead_ms,omitempty"` // checks, checkpoint, and what it settles: clients notice nothing
	HoldMS    float64      `json:"hold_ms,omitempty"`  // from the order to hold clients until no transaction was open anywhere
	StopMS    float64      `json:"stop_ms,omitempty"`  // from the order to stop until the lease was handed over
	PromoteMS float64      `json:"promote_ms"`         // from when the new primary saw the lease until it accepted writes
	Poolers   []PoolerPart `json:"poolers,omitempty"`
	Unheld    []string     `json:"not_held,omitempty"` // poolers that were silent, or came later: what their clients saw is not known
	Whole     bool         `json:"whole,omitempty"`    // all parts are in that will ever be
}

// Proves says that the candidate had all that there was, so that no commit is lost.
func (c *Certificate) Proves() bool { return c.Shutdown != 0 && c.Received.LSN > c.Shutdown }

// PoolerPart is one pooler's hold.
type PoolerPart struct {
	Name string `json:"name"`
	PoolerHold
}

// Handed is what the former primary remembers of a handover, for its certificate.
type Handed struct {
	Operation string       `json:"operation,omitempty"`
	Shutdown  wal.LSN      `json:"shutdown,omitempty"`
	Received  wal.Position `json:"received,omitzero"`
	StopMS    float64      `json:"stop_ms,omitempty"`
}

// How long poolers hold clients: until HoldWait (or Operation.MaxWaitMS) for what is open to end, and
// HoldMax longer for the rest. A pooler lets its clients go then, whatever it hears.
const (
	HoldWait = 2 * time.Second
	HoldMax  = 10 * time.Second
)

// MaxWait is for how long open transactions are waited for.
func (o *Operation) MaxWait() time.Duration {
	if o.MaxWaitMS > 0 {
		return time.Duration(o.MaxWaitMS) * time.Millisecond
	}
	return HoldWait
}

// Timeout is after how long one that does not get past a phase is taken back. A rolling restart's own is for a restart, and much
// longer than a handover in it may take.
func (o *Operation) Timeout() time.Duration {
	if o.TimeoutMS > 0 && !o.Resume {
		return time.Duration(o.TimeoutMS) * time.Millisecond
	}
	return opTimeout
}

// Active says whether the operation has something to do now.
func (o *Operation) Active() bool {
	return o != nil && o.Phase != PhaseDone && o.Phase != PhaseAborted && o.Phase != PhaseScheduled
}

// Holds says that it is a switchover that has clients held, or has had until the lease moved.
func (o *Operation) Holds() bool {
	return o.Active() && o.Kind == OpSwitchover && o.Phase != PhaseRequested
}

// Request kinds.
const (
	RequestReinit  = "reinit"
	RequestRestart = "restart"

	// RequestDone is the reason with which a member ends a request that it carried out.
	RequestDone Code = "request_done"
)

// Request (key "requests/NAME") asks one member to do something to itself. The
// member deletes it when the rest follows from facts alone.
type Request struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Phase    string `json:"phase"` // PhaseRequested, PhaseStopping
	By       string `json:"by,omitempty"`
	Of       string `json:"of,omitempty"` // the operation that it is a part of: worth nothing without it
	Revision int64  `json:"-"`
}

// Removal (key "removals/NAME/ID") asks member NAME to drop a saved fork, or data that was set
// aside. The member deletes it with the fork.
type Removal struct {
	ID       string `json:"id"`
	By       string `json:"by,omitempty"`
	Revision int64  `json:"-"`
}

// DrainRecord (key "drains/NAME") keeps a member without a role; see StoreView.Drained.
type DrainRecord struct {
	By string `json:"by,omitempty"`
	At string `json:"at,omitempty"`
}

// PauseRecord (key "pause") switches the autopilot's initiative off.
type PauseRecord struct {
	By string `json:"by,omitempty"`
	At string `json:"at,omitempty"`
}

// Text says what may be lost by a takeover.
func (l Loss) Text(by string) string {
	loss := fmt.Sprintf("what %s wrote after it may be lost", l.Member)
	if n := l.To.Sub(l.From.LSN); n > 0 {
		loss = fmt.Sprintf("at most %d bytes, and what %s wrote after it, may be lost", n, l.Member)
	}
	return fmt.Sprintf("%s took over at %s from %s, whose last published position is %s: %s", by, l.From, l.Member, l.To, loss)
}
