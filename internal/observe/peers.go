package observe

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/peer"
)

const peerReadLimit = time.Second

// PeerSource asks the other members how they are.
type PeerSource struct {
	Self   string
	Client *peer.Client
	Now    func() core.Instant

	mu    sync.Mutex
	peers map[string]*onePeer
	asked []asked
}

type asked struct {
	one  *onePeer
	done <-chan struct{}
}

type onePeer struct {
	flight flight
	mu     sync.Mutex
	last   peer.Status
	known  bool
	sent   core.Instant // of the newest answer
	err    string       // of the newest attempt
}

// ask sends a question to every member whose newest answer is older than age, without waiting.
func (s *PeerSource) ask(ctx context.Context, members []core.MemberRecord, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers == nil {
		s.peers = map[string]*onePeer{}
	}
	s.asked = s.asked[:0]
	for _, m := range members {
		if m.Name == s.Self {
			continue
		}
		one, ok := s.peers[m.Name]
		if !ok {
			one = &onePeer{}
			s.peers[m.Name] = one
		}
		if one.answered(s.Now()) < age {
			continue
		}
		address := net.JoinHostPort(m.Address, strconv.Itoa(m.APIPort))
		done := one.flight.start(func() { one.read(context.WithoutCancel(ctx), s, m, address) })
		s.asked = append(s.asked, asked{one, done})
	}
}

// answered is how long ago the question was sent that was answered last; for ever, if the newest one was not.
func (o *onePeer) answered(now core.Instant) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.known || o.err != "" {
		return math.MaxInt64
	}
	return now.Sub(o.sent)
}

// wait gives those who answered last time a moment; a member that was silent then is
// not waited for, or one dead machine would slow every tick of the others.
func (s *PeerSource) wait(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.mu.Lock()
	list := slices.Clone(s.asked)
	s.mu.Unlock()
	for _, a := range list {
		a.one.mu.Lock()
		good := a.one.known && a.one.err == ""
		a.one.mu.Unlock()
		if good {
			within(ctx, a.done, patience)
		}
	}
}

func (o *onePeer) read(ctx context.Context, s *PeerSource, m core.MemberRecord, address string) {
	ctx, cancel := context.WithTimeout(ctx, peerReadLimit)
	defer cancel()
	sent := s.Now()
	status, err := s.Client.Status(ctx, address)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil:
		o.err = err.Error()
	case status.Name != m.Name || status.Ordinal != m.Ordinal:
		o.err = fmt.Sprintf("another member answers at %s: %s, joined as number %d", address, status.Name, status.Ordinal)
	case sent >= o.sent:
		o.last, o.known, o.sent, o.err = status, true, sent, ""
	}
}

func (s *PeerSource) view(members []core.MemberRecord, now core.Instant) []core.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []core.Peer
	for _, m := range members {
		if one, ok := s.peers[m.Name]; ok && m.Name != s.Self {
			out = append(out, one.view(m.Name, now))
		} else if m.Name != s.Self {
			out = append(out, core.Peer{Name: m.Name})
		}
	}
	slices.SortFunc(out, func(a, b core.Peer) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (o *onePeer) view(name string, now core.Instant) core.Peer {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.last.Seen()
	p.Name, p.Known, p.Age, p.Err = name, o.known, time.Duration(now-o.sent), o.err
	return p
}

// Statuses are the newest answers, by member, of those that answered the last time.
func (s *PeerSource) Statuses() map[string]peer.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]peer.Status{}
	for name, one := range s.peers {
		one.mu.Lock()
		if one.known && one.err == "" {
			out[name] = one.last
		}
		one.mu.Unlock()
	}
	return out
}
