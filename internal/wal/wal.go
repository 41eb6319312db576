package wal

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// LSN is a byte position in the write-ahead log. Zero means "not known":
// PostgreSQL never hands out 0/0 as the position of a record.
type LSN uint64

// ParseLSN reads PostgreSQL's text form "16/B374D848". The empty string is
// the unknown LSN.
func ParseLSN(text string) (LSN, error) {
	if text == "" {
		return 0, nil
	}
	high, low, ok := strings.Cut(text, "/")
	if !ok {
		return 0, fmt.Errorf("LSN %q: want two hexadecimal numbers with a slash between", text)
	}
	h, err := strconv.ParseUint(high, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("LSN %q: %w", text, err)
	}
	l, err := strconv.ParseUint(low, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("LSN %q: %w", text, err)
	}
	return LSN(h<<32 | l), nil
}

// String gives PostgreSQL's text form, "0/0" when unknown.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// MarshalText and UnmarshalText keep PostgreSQL's form in JSON and YAML, so that
// what an operator reads in `status --json` can be pasted into psql.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (l *LSN) UnmarshalText(text []byte) error {
	v, err := ParseLSN(string(text))
	*l = v
	return err
}

// Sub gives the distance l - other in bytes, 0 when other is ahead or either is
// unknown: a lag is never negative.
func (l LSN) Sub(other LSN) int64 {
	if l == 0 || other == 0 || other >= l {
		return 0
	}
	return int64(l - other)
}

// Timeline is PostgreSQL's timeline number; zero means "not known".
type Timeline uint32

// Position is how far a member's history reaches: its timeline first, then its
// LSN. A longer LSN on an older timeline is a fork, not progress, so ordering by
// LSN alone elects a member whose WAL was already abandoned.
type Position struct {
	Timeline Timeline `json:"timeline"`
	LSN      LSN      `json:"lsn"`
}

// Compare orders by (timeline, LSN): -1, 0 or +1.
func (p Position) Compare(q Position) int {
	if c := cmp.Compare(p.Timeline, q.Timeline); c != 0 {
		return c
	}
	return cmp.Compare(p.LSN, q.LSN)
}

// String gives "timeline:LSN", e.g. "3:0/5000028".
func (p Position) String() string { return fmt.Sprintf("%d:%s", p.Timeline, p.LSN) }

// Switch is one line of a timeline history file: history left Timeline at LSN.
type Switch struct {
	Timeline Timeline `json:"timeline"`
	LSN      LSN      `json:"lsn"`
}

// History lists the timelines that lead to the current one, oldest first; the
// current timeline itself is not in it (as in PostgreSQL's own files).
type History []Switch

// ParseHistory reads the text of a NNNNNNNN.history file. Lines that are empty
// or start with # are skipped.
func ParseHistory(text string) (History, error) {
	var h History
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("timeline history: line %q has no LSN", strings.TrimSpace(line))
		}
		tl, err := strconv.ParseUint(fields[0], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("timeline history: %w", err)
		}
		lsn, err := ParseLSN(fields[1])
		if err != nil {
			return nil, fmt.Errorf("timeline history: %w", err)
		}
		if n := len(h); n > 0 && h[n-1].Timeline >= Timeline(tl) {
			return nil, fmt.Errorf("timeline history: timeline %d does not follow %d", tl, h[n-1].Timeline)
		}
		h = append(h, Switch{Timeline(tl), lsn})
	}
	return h, nil
}

// ForkOf says where the history (of timeline current) left timeline old.
// ok is false when old is not an ancestor of current. For old == current there
// is no fork: the LSN is the greatest possible one.
func (h History) ForkOf(old, current Timeline) (at LSN, ok bool) {
	if old == current {
		return ^LSN(0), true
	}
	for _, s := range h {
		if s.Timeline == old {
			return s.LSN, true
		}
	}
	return 0, false
}

// Parting is where this history, of timeline current, and another, of timeline otherCurrent, part; the greatest LSN
// when they are on one timeline. Where the oldest forks are not known and nothing is found in common, it is the oldest
// fork that is known of the other: they parted there or before.
func (h History) Parting(current Timeline, other History, otherCurrent Timeline) LSN {
	if at, ok := other.ForkOf(current, otherCurrent); ok {
		return at
	}
	for i := len(h) - 1; i >= 0; i-- {
		if at, ok := other.ForkOf(h[i].Timeline, otherCurrent); ok {
			return min(at, h[i].LSN)
		}
	}
	if len(other) == 0 {
		return 0
	}
	return other[0].LSN
}

// Common gives the last position that two histories share: this one, of timeline current, and
// another, of timeline otherCurrent. ok is false when they have nothing in common (or when too
// little of them is known to tell).
func (h History) Common(current Timeline, other History, otherCurrent Timeline) (at Position, ok bool) {
	const open = ^LSN(0) // a current timeline has no end yet
	mine, theirs := append(h[:len(h):len(h)], Switch{current, open}), append(other[:len(other):len(other)], Switch{otherCurrent, open})
	for i := range min(len(mine), len(theirs)) {
		if mine[i].Timeline != theirs[i].Timeline {
			break
		}
		at, ok = Position{mine[i].Timeline, min(mine[i].LSN, theirs[i].LSN)}, true
		if mine[i].LSN != theirs[i].LSN {
			break
		}
	}
	return at, ok
}
