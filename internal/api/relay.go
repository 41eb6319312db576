package api

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
)

const relayAgain = 2 * time.Second // after a member's stream ended, or could not be had

// relays pass on to who looks at this member what the others write into their journals, as it is written, and what they decide. They run while
// somebody looks. A member asks the others for their own events only, so nothing goes round in circles.
type relays struct {
	mu      sync.Mutex
	running map[string]context.CancelFunc // by member
}

// keep begins and ends them, so that there is one for each of members, or none at all. It is called with each tick.
func (s *Server) keepRelays(ctx context.Context, members []core.MemberRecord) {
	if s.b.Peers == nil {
		return
	}
	s.relays.mu.Lock()
	defer s.relays.mu.Unlock()
	wanted := map[string]bool{}
	for _, m := range members {
		if wanted[m.Name] = m.Name != s.b.Name; !wanted[m.Name] || s.relays.running[m.Name] != nil {
			continue
		}
		relaying, end := context.WithCancel(ctx)
		s.relays.running[m.Name] = end
		go s.relay(relaying, m)
	}
	for name, end := range s.relays.running {
		if !wanted[name] {
			end()
		}
	}
}

// relay passes one member's events on until its stream ends; keepRelays begins another.
func (s *Server) relay(ctx context.Context, m core.MemberRecord) {
	// Why it ended says nothing that the member's state does not say.
	_ = s.b.Peers.Events(ctx, hostport(m.Address, m.APIPort), LivePath+"?local=1&decisions=1", func(data []byte) {
		var e struct {
			journal.Event
			Decision *peer.Decision `json:"decision"`
		}
		switch {
		case json.Unmarshal(data, &e) != nil || e.Member != m.Name: // nobody speaks for another
		case e.Decision != nil:
			d := Decided{e.Member, *e.Decision}
			s.live.heard(d)
			s.live.send(LiveDecision, d, people)
		default:
			s.live.send(LiveEvent, e.Event, people)
		}
	})
	s.live.forget(m.Name)
	select {
	case <-time.After(relayAgain):
	case <-ctx.Done():
	}
	s.relays.mu.Lock()
	defer s.relays.mu.Unlock()
	s.relays.running[m.Name]() // frees what the context holds
	delete(s.relays.running, m.Name)
}
