package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/invariant"
	"github.com/pgherd/pgherd/internal/journal"
)

// lineBytesMax is far more than any decision; what is longer is no journal.
const lineBytesMax = 16 << 20

// Result is one decision, made again.
type Result struct {
	At       time.Time `json:"at"`
	Member   string    `json:"member"`
	Same     bool      `json:"same"`
	Recorded Choice    `json:"recorded"`
	Decided  Choice    `json:"decided"` // by this version
	Outcome  string    `json:"outcome,omitempty"`
	Broken   []Broken  `json:"broken,omitempty"`
}

// Broken is an invariant that does not hold for the recorded plan, for the one that is
// decided now, or for both.
type Broken struct {
	invariant.Violation
	Of string `json:"of"`
}

// Values of Broken.Of.
const (
	OfRecorded = "recorded"
	OfDecided  = "decided"
	OfBoth     = "both"
)

// Summary counts one member's decisions.
type Summary struct {
	Member     string    `json:"member"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Decisions  int       `json:"decisions"`
	Same       int       `json:"same"`
	Other      int       `json:"other"`
	Violations int       `json:"violations"`
	// NoMemory are the entries of versions that did not record it. Decided with an empty
	// memory they may come out otherwise.
	NoMemory int `json:"no_memory,omitempty"`
}

// Count is what was in one file.
type Count struct {
	Decisions  int `json:"decisions"`
	Unreadable int `json:"unreadable"` // lines
}

// Player makes decisions again: Read each file, the oldest first, then End.
type Player struct {
	tell    func(Result)
	waiting *record // read and not played: the line that follows may be its outcome
	before  *record // played last
	members []Summary
}

// New gives a player that tells each result.
func New(tell func(Result)) *Player { return &Player{tell: tell} }

// record is an entry whose memory may be missing.
type record struct {
	journal.Entry
	Memory *core.Memory `json:"memory"`
}

// Read plays one file. A line that is no decision (a crash cuts the last one) is counted.
func (p *Player) Read(r io.Reader) (c Count, err error) {
	lines := bufio.NewReader(r)
	for {
		line, err := readLine(lines)
		if len(line) > 0 {
			if e, ok := parse(line); ok {
				p.take(e)
				c.Decisions++
			} else {
				c.Unreadable++
			}
		}
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return c, err
		}
	}
}

// readLine gives a line without its end, or the beginning of one that is too long.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line) < lineBytesMax {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSpace(line), err
		}
	}
}

// parse refuses lines of other files: an event has no view.
func parse(line []byte) (e *record, ok bool) {
	e = &record{}
	ok = json.Unmarshal(line, e) == nil && !e.At.IsZero() && e.View.Self != ""
	return e, ok
}

// take holds an entry back until the next one: a tick whose step failed is written twice, the
// second time with its outcome, and was decided once.
func (p *Player) take(e *record) {
	if w := p.waiting; w != nil && !(w.View.Self == e.View.Self && w.At.Equal(e.At)) {
		p.play(w)
	}
	p.waiting = e
}

// End plays what is left and gives the members' counts, in the order in which they came.
func (p *Player) End() []Summary {
	if p.waiting != nil {
		p.play(p.waiting)
		p.waiting = nil
	}
	return p.members
}

func (p *Player) play(e *record) {
	recorded := invariant.Decision{Before: p.viewBefore(e), Memory: e.memory(), View: e.View, Plan: e.Plan, Report: unwatched(e.Report)}
	now := again(e)
	now.Before = recorded.Before
	is := slices.Concat(invariant.Tick(&now), invariant.Same(now), invariant.Forgetting(now))
	r := Result{At: e.At, Member: e.View.Self, Outcome: e.Outcome, Recorded: choice(recorded), Decided: choice(now), Broken: merge(invariant.Tick(&recorded), is)}
	r.Same = r.Recorded.key(r.Decided) == r.Decided.key(r.Recorded)
	p.before = e
	p.count(e, r)
	p.tell(r)
}

// viewBefore gives the view that the same agent process had before. Only within one process
// does knowledge grow: a new one may be on another boot's clock, or find a store that was
// put back from a copy. Entries that do not name their process are judged alone, and so is one
// that is out of order.
func (p *Player) viewBefore(e *record) *core.View {
	b := p.before
	if b == nil || e.Began == 0 || b.Began != e.Began || b.View.Self != e.View.Self || b.View.Now > e.View.Now {
		return nil
	}
	return &b.View
}

func (e *record) memory() core.Memory {
	if e.Memory == nil {
		return core.Memory{}
	}
	return *e.Memory
}

func (p *Player) count(e *record, r Result) {
	i := slices.IndexFunc(p.members, func(s Summary) bool { return s.Member == r.Member })
	if i < 0 {
		i = len(p.members)
		p.members = append(p.members, Summary{Member: r.Member, From: r.At, To: r.At})
	}
	s := &p.members[i]
	if r.At.Before(s.From) {
		s.From = r.At
	}
	if r.At.After(s.To) {
		s.To = r.At
	}
	s.Decisions++
	if r.Same {
		s.Same++
	} else {
		s.Other++
	}
	s.Violations += len(r.Broken)
	if e.Memory == nil {
		s.NoMemory++
	}
}

// unwatched takes out what the agent added to the core's report: a condition that tells of
// an earlier tick must not pass for the reason of this one.
func unwatched(r core.Report) core.Report {
	r.Conditions = slices.DeleteFunc(slices.Clone(r.Conditions), func(c core.Condition) bool {
		return c.Code == core.CondInvariant || c.Code == core.CondTwoPrimaries || c.Code == core.CondStoreLost
	})
	return r
}

func merge(recorded, decided []invariant.Violation) (all []Broken) {
	for _, v := range recorded {
		of := OfRecorded
		if slices.Contains(decided, v) {
			of = OfBoth
		}
		all = append(all, Broken{v, of})
	}
	for _, v := range decided {
		if !slices.Contains(recorded, v) {
			all = append(all, Broken{v, OfDecided})
		}
	}
	return all
}
