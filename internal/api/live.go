package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
)

// LivePath answers with a stream of server-sent events for people who look: `event` for each journal.Event of
// this cluster as soon as it is written down by its member, `decision`, a Decided, whenever a member decides something else than before
// (renewals aside), and for each member once when somebody comes, and `status`, a whole ClusterStatus, with each tick of its loop, so at least once a
// second. With ?local=1, which is what members ask each other, only the events of this member, and with decisions=1 its decisions. Nothing is kept for who comes back: the newest status says all.
const LivePath = "/v1/watch/status"

// Names of its events.
const (
	LiveStatus   = "status"
	LiveEvent    = "event"
	LiveDecision = "decision"
)

// Decided is one member's decision as it was made: what it does and why, or why it does nothing.
type Decided struct {
	Member   string        `json:"member"`
	Decision peer.Decision `json:"decision"`
}

const liveMax = 32 // at once, of one member

// live gives the same to all who look. It waits for nobody: who does not read is dropped.
type live struct {
	mu       sync.Mutex
	watchers watchers
	closed   bool
	woken    chan struct{} // somebody came: tell it what is so
	sent     uint64
	others   map[string]Decided // the newest of each other member, while its relay runs
}

func newLive() *live {
	return &live{watchers: watchers{}, woken: make(chan struct{}, 1), others: map[string]Decided{}}
}

// heard takes note of another member's decision, for who comes later.
func (l *live) heard(d Decided) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.others[d.Member] = d
}

func (l *live) forget(member string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.others, member)
}

func (l *live) decisions() []Decided {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.others))
}

func (l *live) join(as audience) (*watcher, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || as&people != 0 && len(l.watchers) >= liveMax {
		return nil, refuse(http.StatusServiceUnavailable, "too_many_watchers", "look at another member", "this member's agent is stopping, or %d look already", liveMax)
	}
	w := l.watchers.add(as)
	select {
	case l.woken <- struct{}{}:
	default:
	}
	return w, nil
}

func (l *live) leave(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers.drop(w)
}

func (l *live) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.watchers.dropAll()
}

func (l *live) watched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, as := range l.watchers {
		if as&people != 0 {
			return true
		}
	}
	return false
}

// send gives a value to those of them that it is for.
func (l *live) send(name string, value any, to audience) {
	data, err := json.Marshal(value)
	if err != nil {
		return // of strings and numbers: it cannot fail
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	l.watchers.tell(event{strconv.FormatUint(l.sent, 10), name, data}, to)
}

// followEvents tells who looks what is written into the journal. It has a goroutine of its own: a status asks PostgreSQL, which
// may be what has just died.
func (s *Server) followEvents(ctx context.Context) {
	if s.b.Journal == nil {
		return
	}
	var told journal.Event
	for {
		changed := s.b.Journal.Changed()
		for _, e := range eventsAfter(told, s.b.Journal.Events(eventsWaiting/2)) {
			told = e
			s.live.send(LiveEvent, e, everybody)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// followStatus tells who looks what is so, with each tick; to nobody it tells nothing.
func (s *Server) followStatus(ctx context.Context) {
	defer s.live.close()
	if s.b.Journal == nil {
		return
	}
	var told uint64
	for came := false; ; {
		changed, n := s.b.Journal.Changed(), s.b.Journal.Decisions() // before the entry: one that comes in between is told twice rather than never
		e, ok := s.b.Journal.Current()
		var others []core.MemberRecord
		if ok && s.live.watched() {
			s.live.send(LiveStatus, s.statusOf(e.View.Store), people)
			others = e.View.Store.Members
		}
		if ok && s.b.Decision != nil && (came || n != told) {
			told = n
			s.live.send(LiveDecision, Decided{s.b.Name, s.b.Decision(e)}, people|deciding)
		}
		if came {
			for _, d := range s.live.decisions() {
				s.live.send(LiveDecision, d, people)
			}
		}
		s.keepRelays(ctx, others)
		select {
		case <-changed:
			came = false
		case <-s.live.woken:
			came = true
		case <-ctx.Done():
			return
		}
	}
}

// eventsAfter gives those behind the one that was told last; all when it is not among them any more.
func eventsAfter(last journal.Event, events []journal.Event) []journal.Event {
	return events[1+slices.Index(events, last):]
}

// getLive looks at the caller's right again and again: a token that is revoked or ends shows nothing any more.
func (s *Server) getLive(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.admit(w, r, roleFor("GET "+LivePath)); !ok {
		return
	}
	as := people
	if r.URL.Query().Has("local") {
		as = members
		if r.URL.Query().Has("decisions") {
			as |= deciding
		}
	}
	watcher, err := s.live.join(as)
	if err != nil {
		asProblem(err).write(w)
		return
	}
	defer s.live.leave(watcher)
	stream := newStream(w)
	stream.still = func() error { _, err := s.authorize(r, RoleViewer); return err }
	if stream.send(": pgherd\n\n") == nil {
		stream.copy(r.Context(), watcher)
	}
}
