package demo

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// outcome is what a writer knows of one row that it tried to insert.
type outcome byte

const (
	outcomeNone    outcome = iota
	outcomeAcked           // the server said so: the row must be there once, for ever
	outcomeUnknown         // the connection was lost before the answer: either is right
	outcomeFailed          // never sent, or refused by the server: must not be there
)

// row names one attempt; no attempt's number is ever used again.
type row struct {
	writer int
	seq    int64
}

// ledger is the clients' side of the truth.
type ledger struct {
	mu       sync.Mutex
	outcomes map[row]outcome
	counts   [outcomeFailed + 1]int
}

func newLedger() *ledger { return &ledger{outcomes: map[row]outcome{}} }

func (l *ledger) note(r row, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes[r] = o
	l.counts[o]++
}

func (l *ledger) count(o outcome) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[o]
}

// Verdict is what comparing the ledger with one member's table gave.
type Verdict struct {
	Member  string
	Found   int   // rows in the table
	Missing []row // acknowledged and not there: lost
	Twice   []row // there more than once
	Phantom []row // refused or never tried, and there
}

// OK says whether the table is what clients were told.
func (v Verdict) OK() bool { return len(v.Missing)+len(v.Twice)+len(v.Phantom) == 0 }

// String is one line for people.
func (v Verdict) String() string {
	text := fmt.Sprintf("%s has %d: %d missing, %d twice", v.Member, v.Found, len(v.Missing), len(v.Twice))
	if len(v.Phantom) > 0 {
		text += fmt.Sprintf(", %d that were refused", len(v.Phantom))
	}
	for _, bad := range [][]row{v.Missing, v.Twice, v.Phantom} {
		if len(bad) > 0 {
			text += fmt.Sprintf(" (first: writer %d, row %d)", bad[0].writer, bad[0].seq)
			break
		}
	}
	return text
}

// check compares with the rows found (how often each).
func (l *ledger) check(member string, found map[row]int) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := Verdict{Member: member}
	for r, n := range found {
		v.Found += n
		if n > 1 {
			v.Twice = append(v.Twice, r)
		}
		if o := l.outcomes[r]; o == outcomeFailed || o == outcomeNone {
			v.Phantom = append(v.Phantom, r)
		}
	}
	for r, o := range l.outcomes {
		if o == outcomeAcked && found[r] == 0 {
			v.Missing = append(v.Missing, r)
		}
	}
	for _, list := range [][]row{v.Missing, v.Twice, v.Phantom} {
		slices.SortFunc(list, func(a, b row) int {
			return cmp.Or(cmp.Compare(a.writer, b.writer), cmp.Compare(a.seq, b.seq))
		})
	}
	return v
}
