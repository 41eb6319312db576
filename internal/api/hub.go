package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

const (
	eventsKept    = 128 // for those who come back
	eventsWaiting = 16  // for one reader
	lookAgain     = 20 * time.Millisecond
)

// hub gives each change of the endpoints to all who watch. It waits for nobody: who does not read is dropped.
type hub struct {
	boot string // of this process: ids of another one's events say nothing here

	mu       sync.Mutex
	now      Endpoints
	known    bool // now was published
	seq      uint64
	kept     []event // the newest, without gaps
	watchers watchers
	closed   bool
	asked    core.Instant  // now is what all members answered to questions sent at this time or later
	told     chan struct{} // closed by the next publish
}

func newHub() *hub {
	boot := make([]byte, 4)
	_, _ = rand.Read(boot)
	return &hub{boot: hex.EncodeToString(boot), watchers: watchers{}, told: make(chan struct{})}
}

// publish sends e when it says something new. Lag is no news. The members were asked at this time or later.
func (h *hub) publish(e Endpoints, asked core.Instant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = asked
	h.wake()
	name := change(h.now, e)
	if !h.known {
		name = EventSnapshot
	}
	h.now, h.known = e, true
	if name == "" {
		return
	}
	h.seq++
	ev := newEvent(h.id(), name, e)
	h.kept = append(h.kept, ev)
	if over := len(h.kept) - eventsKept; over > 0 {
		h.kept = slices.Delete(h.kept, 0, over)
	}
	h.watchers.tell(ev, everybody)
}

// id names the newest event: its term for people, then what join reads.
func (h *hub) id() string { return fmt.Sprintf("%d.%s.%d", h.now.Epoch, h.boot, h.seq) }

// join adds a watcher and gives what it has to be told first: what happened after the event that it saw
// last, if that is known, else what is so now.
func (h *hub) join(last string) (*watcher, []event, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, nil, refuse(http.StatusServiceUnavailable, "stopping", "watch another member", "this member's agent is stopping")
	case len(h.watchers) >= watchersMax:
		return nil, nil, refuse(http.StatusServiceUnavailable, "too_many_watchers", "watch another member, or share one watch among programs", "%d watch this member already", watchersMax)
	}
	return h.watchers.add(everybody), h.missed(last), nil
}

// wake has those who wait look again. The lock is held.
func (h *hub) wake() {
	close(h.told)
	h.told = make(chan struct{})
}

// askedSince waits until what is published was asked for at this time or later, or until nothing will be. look makes
// that soon: again each time, for a question that was under way already came too early.
func (h *hub) askedSince(ctx context.Context, at core.Instant, look func()) {
	pause := time.Duration(0)
	for {
		h.mu.Lock()
		enough, told := h.closed || h.known && h.asked >= at, h.told
		h.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		look()
		pause = lookAgain // a member that is silent is so for a second
		select {
		case <-told:
		case <-ctx.Done():
			return
		}
	}
}

func (h *hub) missed(last string) []event {
	parts := strings.Split(last, ".")
	if len(parts) == 3 && parts[1] == h.boot {
		seq, err := strconv.ParseUint(parts[2], 10, 64)
		if back := h.seq - seq; err == nil && seq <= h.seq && back <= uint64(len(h.kept)) {
			return slices.Clone(h.kept[uint64(len(h.kept))-back:])
		}
	}
	if !h.known {
		return nil // the first tick will tell
	}
	return []event{newEvent(h.id(), EventSnapshot, h.now)}
}

func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers.drop(w)
}

// close ends all watches, and refuses new ones.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.wake()
	h.watchers.dropAll()
}

// change names what differs: the event's name, or "" when nothing does that anybody waits for.
func change(was, is Endpoints) string {
	switch {
	case is.RW == nil && was.RW != nil:
		return EventNoPrimary
	case is.RW != nil && (was.RW == nil || *is.RW != *was.RW || is.Epoch != was.Epoch):
		return EventPrimary
	case is.State != was.State || is.Epoch != was.Epoch:
		return EventState
	case text(is) != text(was):
		return EventMembers
	}
	return ""
}

// text is equal for endpoints that differ in lag only.
func text(e Endpoints) string {
	e.RO = slices.Clone(e.RO)
	for i := range e.RO {
		e.RO[i].LagBytes = nil
	}
	data, _ := json.Marshal(e)
	return string(data)
}
