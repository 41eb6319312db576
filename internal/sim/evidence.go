package sim

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// evidence is what a member keeps of histories that were given up, on the disk of its state
// directory and beside its data.
type evidence struct {
	saved, aside [][]int32
	gone         [2]int // how many of each were dropped
	proven       bool   // the data in place has streamed, or led
}

const (
	notSaved  = "the WAL that only this member has is not saved"
	savedKept = 2 // so many forks are within the size that the spec allows
)

// saving is what a rewind and a clone do first. The disk may be full.
func (a *agent) saving(f *core.Fork, then func(), end func(string)) {
	if f == nil {
		then()
		return
	}
	p := &a.n.pg
	a.group.after(a.n.w.between(10*time.Millisecond, 800*time.Millisecond), func() {
		if p.full > 0 {
			end(notSaved)
			return
		}
		p.save(f)
		then()
	})
}

func (p *server) save(f *core.Fork) {
	from := max(0, int(f.From.LSN)/100-1)
	if from >= len(p.wal) {
		return
	}
	wal := slices.Clone(p.wal[from:])
	e := &p.evidence
	if n := len(e.saved); n > 0 && e.saved[n-1][0] == wal[0] { // the same fork again
		e.saved[n-1] = wal
	} else {
		e.saved = append(e.saved, wal)
	}
	p.n.w.note(p.n, "saved", len(wal), "%d records that the primary does not have, after %s", len(wal), f.From)
}

// replaced asks for what is taken away and the source does not have: it is saved here, or another
// member has it. (Of a rewind that broke off, what was saved is what one primary lacked; a later
// one may lack more, which the first one has.) That the data is set aside by a clone is no excuse.
func (p *server) replaced(source *server) {
	w := p.n.w
	for _, uid := range p.wal {
		if w.commit[uid] && !source.has(int(uid)) {
			another := func(n *node) bool { return n != p.n && (n.pg.has(int(uid)) || holds(n.pg.evidence.aside, int(uid))) }
			w.hist.Replaced(p.n.i, int(uid), w.saved(int(uid)) || slices.ContainsFunc(w.nodes, another))
		}
	}
}

func holds(kept [][]int32, uid int) bool {
	return slices.ContainsFunc(kept, func(wal []int32) bool { return slices.Contains(wal, int32(uid)) })
}

// saved says that some member has told of the record and keeps it.
func (w *World) saved(uid int) bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool { return holds(n.pg.evidence.saved, uid) })
}

// kept is the fact that a decision sees: what is too much by the spec.
func (p *server) kept() (k core.Kept) {
	e := &p.evidence
	if len(e.saved) > savedKept {
		k.Overdue = append(k.Overdue, "fork-"+strconv.Itoa(e.gone[0]))
	}
	if len(e.aside) > p.n.w.store.records.Spec.Forks.Aside {
		k.Overdue = append(k.Overdue, "aside-"+strconv.Itoa(e.gone[1]))
	}
	return k
}

// drop removes the oldest, if it is still the one that was meant.
func (p *server) drop(id string) {
	e, i, list := &p.evidence, 0, &p.evidence.saved
	if strings.HasPrefix(id, "aside-") {
		i, list = 1, &e.aside
	}
	if _, number, _ := strings.Cut(id, "-"); len(*list) == 0 || number != strconv.Itoa(e.gone[i]) {
		return
	}
	p.n.w.hist.Pruned(p.n.i, id, e.proven)
	p.n.w.note(p.n, "drop", e.gone[i], "%s", id)
	*list = (*list)[1:]
	e.gone[i]++
}
