package whatif

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

// Answer is what would happen. Durations count from the fault; they are bounds by the settings, not measurements.
type Answer struct {
	If       string    `json:"if"`
	Leader   string    `json:"leader"`               // who leads afterwards; empty: nobody
	Was      string    `json:"was"`                  // who leads now; empty: nobody
	Text     string    `json:"text"`                 // what happens, in a sentence
	StopMin  float64   `json:"stop_min_s"`           // for how long writes stop at least
	StopMax  float64   `json:"stop_max_s"`           // and at most; -1: until somebody does something
	LossMax  int64     `json:"loss_max_bytes"`       // how much acknowledged WAL may be lost; -1: not known
	Loss     string    `json:"loss"`                 // the same in words
	KeptOn   []string  `json:"kept_on"`              // who confirms commits afterwards
	Reasons  []Because `json:"reasons"`              // of each member that does not lead, and of the holder
	Bears    []string  `json:"bears_then,omitempty"` // of whom could then be lost, one of them, and somebody would still lead
	Breaks   []string  `json:"breaks_then,omitempty"`
	Degraded bool      `json:"degraded"` // fewer standbys confirm commits than the spec asks for
}

// Because is what one member would say.
type Because struct {
	Member string      `json:"member"`
	Reason core.Reason `json:"reason"`
}

// What a promotion takes after the lease, as a bound: catching up by rank, the promotion itself, and routing.
const promotion = 2 * time.Second

// Ask gives the answer. The facts must have at least one member.
func Ask(f Facts, faults []Fault) Answer {
	var texts []string
	for _, one := range faults {
		texts = append(texts, one.String())
	}
	w := newWorld(f, faults)
	a := ask(w)
	a.If = strings.Join(texts, ",")
	w.next(&a)
	return a
}

// next asks once more, for each who is left: could it be lost then, too? By then the others follow the new leader.
func (w *world) next(a *Answer) {
	if a.Leader == "" || a.StopMax < 0 {
		return
	}
	then := w.Facts
	then.Store.Lease.Holder, then.Store.Lease.Released = a.Leader, false
	then.Store.Lease.Sync = core.SyncSet{Members: w.followers(a.Leader)}
	if w.Store.Spec.Durability == spec.DurabilitySync {
		then.Store.Lease.Sync.K = min(w.Store.Spec.SyncStandbys, len(then.Store.Lease.Sync.Members))
	}
	then.Peers = maps.Clone(w.Peers)
	for name, p := range then.Peers {
		p.Instance.Primary = name == a.Leader
		then.Peers[name] = p
	}
	for _, name := range w.names {
		if !w.up(name) || w.has(name, Cut) {
			continue
		}
		if b := ask(newWorld(then, append(slices.Clone(w.faults), Fault{name, Down}))); b.Leader != "" && b.StopMax >= 0 {
			a.Bears = append(a.Bears, name)
		} else {
			a.Breaks = append(a.Breaks, name)
		}
	}
}

// followers are who could confirm commits of the leader, once they stream from it.
func (w *world) followers(leader string) []string {
	return w.heard(leader, w.Store.Confirming(leader))
}

func ask(w *world) Answer {
	l := w.Store.Lease
	a := Answer{Was: l.Holder, Reasons: []Because{}, KeptOn: []string{}}
	switch {
	case w.Store.LeaseRevision == 0 || l.Released || l.Holder == "":
		a.Was = ""
		w.election(&a, l, 0, 0)
	case !w.up(l.Holder):
		w.election(&a, l, remaining(w), l.TTL.D())
	case !w.serves(l.Holder):
		w.crashed(&a)
	case w.hasStore(l.Holder):
		w.goesOn(&a, fmt.Sprintf("%s goes on leading", l.Holder))
	default:
		w.withoutStore(&a)
	}
	return a
}

// remaining is what is left of a ttl at least, when the holder has just renewed or is about to.
func remaining(w *world) time.Duration {
	return max(0, w.Store.Lease.TTL.D()-w.Store.Spec.Lease.Renew.D())
}

// goesOn: the holder leads as before. What its commits wait for may be gone.
func (w *world) goesOn(a *Answer, text string) {
	l := w.Store.Lease
	a.Leader, a.Text, a.Loss = l.Holder, text, "nothing"
	confirming := w.heard(l.Holder, l.Sync.Members)
	switch {
	case w.Store.Spec.Durability != spec.DurabilitySync || l.Sync.K == 0:
		a.Text += "; commits wait for nobody"
	case len(confirming) >= l.Sync.K:
		a.KeptOn = confirming
		a.Text += fmt.Sprintf("; commits are confirmed by any %d of %s", l.Sync.K, strings.Join(confirming, ", "))
	case w.Store.Spec.Strict:
		a.StopMax = -1
		a.Text += "; commits wait until enough standbys are back (strict)"
	default:
		a.StopMin, a.StopMax = 0, (l.TTL.D() + promotion).Seconds()
		a.KeptOn = confirming
		a.Text += fmt.Sprintf("; commits wait until who is gone is counted no more (%s), and are kept on %s then", l.TTL.D(), namesOr(confirming, "the primary alone"))
	}
	a.Degraded = w.degraded(a)
}

// heard are those of names whose word reaches the primary.
func (w *world) heard(primary string, names []string) []string {
	out := []string{}
	for _, name := range names {
		if name != primary && w.serves(name) && w.hears(primary, name) {
			out = append(out, name)
		}
	}
	return out
}

// degraded: fewer standbys confirm commits than the spec asks for and the cluster has.
func (w *world) degraded(a *Answer) bool {
	return w.Store.Spec.Durability == spec.DurabilitySync && len(a.KeptOn) < min(w.Store.Spec.SyncStandbys, len(w.Store.Confirming(a.Leader)))
}

// withoutStore: the holder lives and cannot renew. It goes on by the word of all others, or ends at its deadline.
func (w *world) withoutStore(a *Answer) {
	l, silent := w.Store.Lease, []string{}
	for _, name := range w.names {
		if !w.hears(l.Holder, name) {
			silent = append(silent, name)
		}
	}
	if len(silent) == 0 {
		w.goesOn(a, fmt.Sprintf("%s goes on leading without the store, by the word of all other members", l.Holder))
		return
	}
	a.say(l.Holder, "not_vouched", fmt.Sprintf("without the store it needs the word of every other member, and %s cannot give it: it stops writing %s after its last renewal",
		strings.Join(silent, ", "), l.TTL.D()-l.Margin.D()))
	w.election(a, l, l.Margin.D(), l.Margin.D())
}

func namesOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}
