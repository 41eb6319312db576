package route

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

// View is everything that a decision may depend on.
type View struct {
	Now core.Instant

	// Of the store, as this host read it last.
	Known     bool         // it was read since this process began
	ReadAt    core.Instant // when the newest read that succeeded was sent
	Err       string       // of the newest read; empty: it succeeded
	Founded   bool         // the cluster has a database
	Rules     spec.Pooler
	Lease     core.LeaseRecord
	Members   []core.MemberRecord
	Operation *core.Operation
	Drained   []string // members that get no readers, because an operator said so

	Sights map[string]Sight // of members that hold data, by name; one that is missing was not looked at yet

	RW, RO Pool // what the poolers are doing
}

// State is what a member was seen to be.
type State string

// The states. Down has a sign for it: the server refused, closed the connection, or never answered a new one.
const (
	Unseen   State = ""
	Writes   State = "writes"   // it accepts writes
	Recovery State = "recovery" // it runs as a standby
	Down     State = "down"     // it accepts nobody
)

// Sight is the newest that this host saw of a member's PostgreSQL, by a connection of its own.
type Sight struct {
	State  State
	At     core.Instant // when the newest question that was answered was asked
	LSN    wal.LSN      // written by a primary, replayed by a standby
	Silent bool         // it has not answered since; State is from before
	Err    string       // why it is Down or Silent
}

// Pool is one endpoint's PgBouncer.
type Pool struct {
	Down      bool         // no process: there is nobody to hold
	Targets   []string     // members that it sends to, as it was found or told last
	HeldAt    core.Instant // since when no transaction begins; 0: they do
	DrainedAt core.Instant // since when none is open either, after HeldAt; 0: some are
	LetGoAt   core.Instant // when clients were let go last
	Clients   int
	Waiting   int      // of them, those with a statement that waits for a server
	Dropped   int      // clients dropped since HeldAt
	Blockers  []string // what is open while HeldAt counts, for people
}

// Memory is what one host remembers between decisions. Losing it may delay, never permit.
type Memory struct {
	Began   core.Instant // 0: nothing is remembered
	Adopted bool         // what the poolers did before this process is taken over
	Term    uint64       // the newest that was seen,
	TermAt  core.Instant // and since when
	Target  string       // where the read-write endpoint sends, or sent last
	Holds   bool         // clients of the read-write endpoint are held
	Hold    Hold         // for the newest operation that asked for it
	Readers []string     // where the read-only endpoint sends, or sent last; sorted
	Lagging []string     // members that were taken from the readers because of their lag
	Written []Position   // of the primary, oldest first
	Since   map[core.Code]core.Instant
}

// Hold is the part in one operation.
type Hold struct {
	Operation string
	Since     core.Instant
	MaxWait   time.Duration
	Clients   int
	HeldAt    core.Instant
	DrainedAt core.Instant
	LetGoAt   core.Instant
	Waiting   int
	Dropped   int
	Died      int      // clients of a process that died in the hold: they went with it
	Ended     string   // why clients were let go before the operation was through; empty: they were not
	Failed    bool     // and the operation cannot count on it
	Blockers  []string // then
}

// Position is how far a primary had written at a time.
type Position struct {
	At  core.Instant
	LSN wal.LSN
}

// Endpoint is what one of the two poolers is to do.
type Endpoint struct {
	Keep    bool     // leave it as it is
	LetGo   bool     // leave its targets, and hold nobody
	Targets []string // members
	Hold    bool     // let no transaction begin
	AtOnce  bool     // with Hold: its server is dead, so no login there is worth waiting for
	Drop    bool     // clients that are linked to servers elsewhere are dropped, once it sends to Targets
	Why     core.Reason
}

// Plan is what to do now. It is whole: carrying it out twice is carrying it out once.
type Plan struct {
	RW, RO     Endpoint
	Terminate  bool     // clients with open transactions of the read-write endpoint are dropped, so that it drains
	Hurry      []string // members that are to be looked at as often as can be
	Spare      []string // members that are being stopped: who knocks at their door keeps them from that
	Record     core.PoolerRecord
	Conditions []core.Condition
	WakeAt     core.Instant // decide again then at the latest; 0: whenever something changes
}

func (v View) sight(name string) Sight { return v.Sights[name] }

// holder leads by the newest lease that is known; empty: nobody does.
func (v View) holder() string {
	if v.Lease.Released {
		return ""
	}
	return v.Lease.Holder
}

// data are the members that hold data, by ordinal.
func (v View) data() (names []string) {
	for _, m := range v.Members {
		if !m.Witness {
			names = append(names, m.Name)
		}
	}
	return names
}

func (v View) isMember(name string) bool { return slices.Contains(v.data(), name) }
