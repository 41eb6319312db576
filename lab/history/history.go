package history

import "time"

// Kind is what a client asked for.
type Kind string

// Kinds of operations.
const (
	Insert Kind = "insert" // a row with an ID that was never used before
	Look   Kind = "look"   // the newest rows, in one statement
	Get    Kind = "get"    // a register's value
	Set    Kind = "set"    // a register from Old to New, where New was never used before
)

// Outcome is what the client knows afterwards.
type Outcome string

// Outcomes. Acked needs a CommandComplete without any warning: PostgreSQL acknowledges a
// commit whose wait for its standbys was interrupted, with WARNING 01000 beside it.
const (
	Acked   Outcome = "acked"
	Refused Outcome = "refused" // it certainly had no effect: an ERROR, or a Set that found another value
	Unknown Outcome = "unknown" // an error after it was sent, a warning, or no answer at all
)

// Op is one statement of one client. Instants count from the history's begin, on one clock
// for all clients.
type Op struct {
	Worker  string
	Kind    Kind
	Routed  bool   // by the writer's endpoint; else straight to Member, whatever that is
	Member  string // who answered, or was asked
	Outcome Outcome
	Sent    time.Duration
	Done    time.Duration // answer, or the end of hope
	Text    string        // the error or the warning

	ID       int64   // Insert
	Key      int     // Get, Set: the register
	Old, New int64   // Set
	Value    int64   // Get
	Seen     []int64 // Look: the newest rows' IDs, the newest first, LookRows of them at most

	Timeline uint32 // Insert, Set: the primary's when it executed
	LSN      uint64 // Insert, Set: where the primary's WAL was then
}

// LookRows is how many rows a Look shows at most: what is older is not shown, so that its
// absence says nothing.
const LookRows = 20

// writes says whether the operation's acknowledgement proves that its member is a primary.
func (o Op) writes() bool { return o.Kind == Insert || o.Kind == Set }

// Mark is a thing that the scenario did, so that a report can say what was going on.
type Mark struct {
	At   time.Duration
	Text string
}

// History is all of it.
type History struct {
	Members []string // those that were probed: each must be in Ops
	Ops     []Op
	Marks   []Mark
	End     time.Duration
}

// Row is what a member holds at the end: a row (Key is 0), or a register's value.
type Row struct {
	ID    int64
	Key   int
	Value int64
}

// before gives the last mark before an instant, in words.
func (h History) before(at time.Duration) string {
	text := "before any fault"
	for _, m := range h.Marks {
		if m.At <= at {
			text = "after " + m.Text
		}
	}
	return text
}
