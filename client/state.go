package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// State is what a pool is doing.
type State int

// The states, in their usual order. A pool goes between Ready and Hold as often as the primary changes.
const (
	Absent   State = iota // no member has answered yet
	Waiting               // members answer, and none accepts writes
	Ready                 // connections are given out
	Hold                  // the primary is moving, or being looked at: Acquire waits
	Draining              // Close was called
	Closed
)

func (s State) String() string {
	return [...]string{"absent", "waiting", "ready", "hold", "draining", "closed"}[s]
}

// Stat is a moment of a pool.
type Stat struct {
	State       State
	Target      Target        // the newest primary; zero before the first
	Generations uint64        // pools made: 1 until the primary first moves
	Pool        *pgxpool.Stat // of the newest; nil before the first
}

// Stat tells how the pool is.
func (p *Pool) Stat() Stat {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stat{State: p.state, Generations: p.made}
	if p.gen != nil {
		s.Target, s.Pool = p.gen.target, p.gen.pool.Stat()
	}
	return s
}

// set changes the state; the caller has mu. Nothing follows Draining but Closed.
func (p *Pool) set(s State) {
	if s == p.state || p.state >= Draining && s < p.state {
		return
	}
	p.o.Log.Debug("pgherd client", "state", s, "was", p.state)
	p.state = s
	close(p.changed)
	p.changed = make(chan struct{})
}

// ready gives the generation to take connections from, and waits while there is none.
func (p *Pool) ready(ctx context.Context) (*generation, error) {
	for {
		p.mu.Lock()
		state, gen, changed := p.state, p.gen, p.changed
		p.mu.Unlock()
		switch state {
		case Ready:
			return gen, nil
		case Draining, Closed:
			return nil, ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (state %s): %w", ErrNotReady, state, context.Cause(ctx))
		}
	}
}

// gives says whether gen may still give out connections.
func (p *Pool) gives(gen *generation) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == Ready && p.gen == gen
}

// suspect: something happened on gen that happens when a primary goes. Nobody gets a connection until the
// primary was asked.
func (p *Pool) suspect(gen *generation, code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gen != gen || p.state != Ready {
		return
	}
	// Read-only is also what a program's own read-only transaction says: it must not ask all the time.
	if code == codeReadOnly && time.Since(p.confirmed) < readOnlyTrust {
		return
	}
	p.set(Hold)
	p.poke()
}

// confirm: the primary of gen proved to be one just now. A switchover that was announced goes on holding.
func (p *Pool) confirm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.confirmed = time.Now()
	if p.state == Hold && p.announced.Before(p.confirmed) {
		p.set(Ready)
	}
}

// hold: the primary is gone.
func (p *Pool) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == Ready {
		p.set(Hold)
	}
}

// announce holds until then; a zero time takes it back.
func (p *Pool) announce(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.announced = until
	if !until.IsZero() && p.state == Ready {
		p.set(Hold)
	}
	p.poke()
}

// poke has the primary looked at.
func (p *Pool) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

const (
	codeReadOnly  = "25006"
	readOnlyTrust = 250 * time.Millisecond
)

// stale: errors of a server that stops, is starting, or is no primary any more; and of a lost connection.
func stale(code string) bool {
	switch code {
	case codeReadOnly, "57P01", "57P02", "57P03":
		return true
	}
	return len(code) == 5 && code[:2] == "08"
}

// errMoved refuses a new connection: the server is not the primary that the pool was made for.
var errMoved = errors.New("client: the server is not this pool's primary any more")
