package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// WatchPath answers with a stream of server-sent events. The first is `snapshot` (or, to somebody who comes back
// with its Last-Event-ID, what was missed); then one follows for each change of role or state. The event's
// name says what changed, its data are always the whole Endpoints: who misses one has missed nothing. With
// `?fresh` the first waits until every member was asked after the request came, or is silent: a command must not be
// told of a primary that was killed before it.
const WatchPath = "/v1/watch"

// Names of events.
const (
	EventSnapshot  = "snapshot"
	EventPrimary   = "primary"    // another member accepts writes, or the same in a new term
	EventNoPrimary = "no_primary" // nobody does
	EventState     = "state"      // Endpoints.State
	EventMembers   = "members"    // a member, or a pooler
)

const (
	watchersMax   = 64               // at once, of one member
	watchKeepOpen = 10 * time.Second // between comments that show that the stream lives
	watchWrite    = 5 * time.Second  // for one event: a reader that is slower is dropped
)

// follow turns the loop's ticks into events until ctx ends.
func (s *Server) follow(ctx context.Context) {
	defer s.hub.close()
	if s.b.Journal == nil {
		return
	}
	for {
		changed := s.b.Journal.Changed()
		if e, ok := s.b.Journal.Current(); ok {
			now := seen(e)
			now.NotVoting = s.notVoting(e.View.Store)
			s.hub.publish(now, asked(e.View))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// asked is when the oldest of the answers that v rests on was asked for. A member that does not answer is known to be silent.
func asked(v core.View) core.Instant {
	oldest := v.Now
	for _, p := range v.Peers {
		switch {
		case p.Err != "":
		case !p.Known:
			return 0
		default:
			oldest = min(oldest, v.Now.Add(-p.Age))
		}
	}
	return oldest
}

func (s *Server) getWatch(w http.ResponseWriter, r *http.Request) {
	by, ok := s.admit(w, r, roleFor("GET "+WatchPath))
	if !ok {
		return
	}
	if r.URL.Query().Has("fresh") && s.b.Boot != nil {
		s.hub.askedSince(r.Context(), s.b.Boot(), s.b.Look)
	}
	watcher, missed, err := s.hub.join(r.Header.Get("Last-Event-ID"))
	if err != nil {
		s.b.Log.Warn("api: a watcher is refused", "by", by.name, "error", err)
		asProblem(err).write(w)
		return
	}
	defer s.hub.leave(watcher)
	stream := newStream(w)
	stream.still = func() error { _, err := s.authorize(r, RoleViewer); return err }
	if stream.send(": pgherd\n\n", missed...) == nil {
		stream.copy(r.Context(), watcher)
	}
}

// stream writes events to one reader.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	still   func() error // looked at now and then: an error ends the stream; nil: nothing can
}

func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	s := &stream{w: w, control: http.NewResponseController(w)}
	_ = s.control.SetReadDeadline(time.Time{}) // the server's limit is for requests, not for streams
	return s
}

// copy sends what comes until the reader or the hub has had enough.
func (s *stream) copy(ctx context.Context, from *watcher) {
	alive := time.NewTicker(watchKeepOpen)
	defer alive.Stop()
	for {
		var err error
		select {
		case e, open := <-from.events:
			if !open {
				return // the server stops, or this reader is too slow
			}
			err = s.send("", e)
		case <-alive.C:
			if s.still != nil && s.still() != nil {
				return
			}
			err = s.send(": alive\n\n")
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *stream) send(comment string, events ...event) error {
	var text strings.Builder
	text.WriteString(comment)
	for _, e := range events {
		fmt.Fprintf(&text, "id: %s\nevent: %s\ndata: %s\n\n", e.id, e.name, e.data)
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(watchWrite)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text.String())); err != nil {
		return err
	}
	return s.control.Flush()
}

// event is one change on its way.
type event struct {
	id, name string
	data     []byte
}

func newEvent(id, name string, e Endpoints) event {
	data, _ := json.Marshal(e) // of strings and numbers: it cannot fail
	return event{id, name, data}
}
