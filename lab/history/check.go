package history

import (
	"fmt"
	"math"
	"time"
)

// Bounds is what a scenario permits. Its zero value permits no outage, no change of leadership and
// no loss.
type Bounds struct {
	OutageMax  time.Duration // NoBound: not judged
	ChangesMax int           // NoBoundOnChanges: not judged

	// LossAllowed says why acknowledged rows may be lost (durability async, a forced
	// failover), empty: none may. LossBytesMax bounds it then, 0: not judged.
	LossAllowed  string
	LossBytesMax uint64

	// LateAnswers says why a primary that was overtaken may still deliver the answer to a write that
	// was sent before (its whole machine stood still, the answer with it), empty: none may.
	// A write sent to it afterwards must not be acknowledged in any case.
	LateAnswers string

	// DirtyReads says why a read may show a row that is gone at the end, empty: none may.
	DirtyReads string

	// StaleReads says why a read may come from a primary that was overtaken, empty: none may.
	StaleReads string
}

// What is not judged must be said.
const (
	NoBound          = time.Duration(math.MaxInt64)
	NoBoundOnChanges = math.MaxInt
)

// Report is the verdict. Problems is empty when all is well.
type Report struct {
	Acked, Refused, Unknown int // writes
	Lost                    int // acknowledged, and missing on a member at the end
	LostBytes               uint64
	Duplicated              int // there twice
	Unexpected              int // there, and refused or never asked for
	Dirty                   int // read by a client, and missing at the end
	Backwards               int // reads that did not show what was acknowledged or read before
	Overlaps                int // pairs of reigns that acknowledged writes at the same time
	Changes                 int // of leadership
	Outage                  time.Duration
	OutageAt                time.Duration
	Problems                []string
}

// OK says that nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Check judges a history by what the members hold at its end.
func Check(h History, rowsOnMembers map[string][]Row, bounds Bounds) Report {
	r := Report{}
	checkWorth(h, &r)
	if len(rowsOnMembers) == 0 {
		r.problem("the rows of no member were read")
	}
	checkRows(h, rowsOnMembers, bounds, &r)
	checkSingle(h, bounds, &r)
	checkLooks(h, rowsOnMembers, bounds, &r)
	checkRegisters(h, rowsOnMembers, bounds, &r)
	checkOutage(h, bounds, &r)
	checkChanges(h, bounds, &r)
	return r
}

// CheckClients judges what the clients alone show, when a scenario ended too early for the
// members' rows to be read: all but lost, doubled, dirty and unexpected rows.
func CheckClients(h History, bounds Bounds) Report {
	r := Report{}
	checkWorth(h, &r)
	checkSingle(h, bounds, &r)
	checkLooks(h, nil, bounds, &r)
	checkRegisters(h, nil, bounds, &r)
	checkOutage(h, bounds, &r)
	checkChanges(h, bounds, &r)
	return r
}

// checkWorth refuses a history that could not show a fault: one in which nobody wrote, a
// member was not probed.
func checkWorth(h History, r *Report) {
	asked := map[string]bool{}
	for _, o := range h.Ops {
		if !o.Routed {
			asked[o.Member] = true
		}
		if !o.writes() {
			continue
		}
		switch o.Outcome {
		case Acked:
			r.Acked++
		case Refused:
			r.Refused++
		default:
			r.Unknown++
		}
	}
	if r.Acked == 0 {
		r.problem("no write was acknowledged: this history shows nothing")
	}
	for _, m := range h.Members {
		if !asked[m] {
			r.problem("%s was never probed: a second primary would not have been seen there", m)
		}
	}
}
