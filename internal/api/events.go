package api

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
)

const (
	eventsDefault = 100
	eventsMax     = 2000
	askTimeout    = 2 * time.Second // for other members' events
)

func (s *Server) getEvents(r *http.Request, _ string) (any, error) {
	limit := eventsDefault
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > eventsMax {
			return nil, badRequest("limit %q: want 1 to %d", text, eventsMax)
		}
		limit = n
	}
	if r.URL.Query().Has("local") || s.b.Peers == nil {
		return Events{Events: s.ownEvents(limit)}, nil
	}
	v, _ := s.readAnyway(r.Context())
	return s.allEvents(r.Context(), v.Members, limit, nil), nil
}

func (s *Server) ownEvents(limit int) []journal.Event {
	if s.b.Journal == nil {
		return []journal.Event{}
	}
	return append([]journal.Event{}, s.b.Journal.Events(limit)...)
}

// allEvents asks the other members at the same time and merges by time those that are left out by nobody (without may be nil).
// What is seen by all is told once, and by a member of another version perhaps without what is looked for: so before it is merged.
func (s *Server) allEvents(ctx context.Context, members []core.MemberRecord, limit int, without func(journal.Event) bool) Events {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var mu sync.Mutex
	var asked sync.WaitGroup
	out := Events{Events: s.ownEvents(limit)}
	for _, m := range members {
		if m.Name == s.b.Name {
			continue
		}
		asked.Go(func() {
			var theirs Events
			err := s.b.Peers.Get(ctx, hostport(m.Address, m.APIPort), "/v1/events?local=1&limit="+strconv.Itoa(limit), &theirs)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				out.Missing = append(out.Missing, m.Name)
			}
			out.Events = append(out.Events, theirs.Events...)
		})
	}
	asked.Wait()
	if without != nil {
		out.Events = slices.DeleteFunc(out.Events, without)
	}
	slices.Sort(out.Missing)
	out.Events = merge(out.Events, limit)
	return out
}

// merge sorts by time and keeps what every member saw only once. What one member saw
// twice has happened twice.
func merge(events []journal.Event, limit int) []journal.Event {
	slices.SortStableFunc(events, func(a, b journal.Event) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Member, b.Member))
	})
	const near = 30 * time.Second // members' clocks and ticks differ
	type sighting struct {
		at time.Time
		by map[string]bool
	}
	seen := map[string]sighting{}
	merged := []journal.Event{}
	for _, e := range events {
		if e.Shared {
			key := e.Code + "\x00" + e.Text
			if s, ok := seen[key]; ok && e.At.Sub(s.at) < near && !s.by[e.Member] {
				s.by[e.Member] = true
				continue
			}
			seen[key] = sighting{e.At, map[string]bool{e.Member: true}}
		}
		merged = append(merged, e)
	}
	return merged[max(0, len(merged)-limit):]
}

func hostport(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
