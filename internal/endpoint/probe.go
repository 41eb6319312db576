package endpoint

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/route"
)

// How often a member is looked at, and how long an answer may take.
const (
	lookEvery    = time.Second
	lookHurry    = 4 * time.Millisecond // while clients wait for its promotion
	lookMax      = 2 * time.Second
	dialMax      = time.Second
	redialMax    = 300 * time.Millisecond // right after the session's end: is it the server's, too?
	redialEvery  = 250 * time.Millisecond
	redialHurry  = 20 * time.Millisecond // each costs the server a process
	redialLong   = 2 * time.Second       // to a member that is gone for long
	longAfter    = 10 * time.Second
	settledAfter = 5 * time.Second // a session that lasted so long was a good one
)

// Session is an open session on a member; *postgres.RecoveryProbe is the real one.
type Session interface {
	Look(ctx context.Context) (postgres.Recovery, error)
	Wait(ctx context.Context) error
	Close()
}

// Dial opens one, bounded by ctx.
type Dial func(ctx context.Context, m core.MemberRecord) (Session, error)

// probe keeps looking at one member.
type probe struct {
	member core.MemberRecord
	dial   Dial
	now    func() core.Instant
	poke   func()
	stop   context.CancelFunc

	mu    sync.Mutex
	sight route.Sight
	hurry bool
	spare bool               // no session is to be opened
	wake  context.CancelFunc // ends the wait between two looks; nil: none is under way
}

// begin starts looking.
func (p *probe) begin(ctx context.Context, parts *sync.WaitGroup) {
	ctx, p.stop = context.WithCancel(ctx)
	parts.Go(func() { p.run(ctx) })
}

func (p *probe) run(ctx context.Context) {
	lost, brief, downSince := false, 0, core.Instant(0)
	for ctx.Err() == nil {
		if p.rests(ctx) {
			lost = false
			continue
		}
		session, err := p.open(ctx, lost)
		if err != nil {
			p.refused(err)
			if downSince == 0 {
				downSince = p.now()
			}
			_ = p.pause(ctx, nil, p.redialAfter(p.now().Sub(downSince)))
			lost, brief = false, 0
			continue
		}
		downSince = 0
		began := p.now()
		p.follow(ctx, session)
		session.Close()
		// One session may be ended by whoever likes to. Only when no other can be had is the server down; but
		// one that ends each at once is not up either, and is not to be asked without a rest.
		if p.now().Sub(began) >= settledAfter {
			brief = 0
		} else {
			brief++
		}
		if lost = true; brief > 1 {
			_ = p.pause(ctx, nil, redialHurry)
		}
	}
}

var errSpared = errors.New("it is being stopped for a handover")

// rests, for a moment, while the member is not to be asked for a session. That its last one has ended is all that is known of it.
func (p *probe) rests(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, redialEvery)
	defer cancel()
	p.mu.Lock()
	spare := p.spare
	if spare {
		p.wake = cancel // at once, or leave could end it in between, and find nobody to wake
	}
	p.mu.Unlock()
	if spare {
		p.refused(errSpared)
		<-ctx.Done()
	}
	return spare
}

// leave has no session opened on the member, or ends that. One that is open stays.
func (p *probe) leave(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !on && p.spare && p.wake != nil {
		p.wake()
	}
	p.spare = on
}

func (p *probe) open(ctx context.Context, lost bool) (Session, error) {
	limit := dialMax
	if lost {
		limit = redialMax
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return p.dial(ctx, p.member)
}

// follow looks until the session ends.
func (p *probe) follow(ctx context.Context, s Session) {
	for ctx.Err() == nil {
		if err := p.look(ctx, s); err != nil {
			return
		}
		if err := p.pause(ctx, s, p.lookAfter()); err != nil {
			return
		}
	}
}

func (p *probe) look(ctx context.Context, s Session) error {
	ctx, cancel := context.WithTimeout(ctx, lookMax)
	defer cancel()
	sent := p.now()
	r, err := s.Look(ctx)
	if err != nil {
		if postgres.Late(err) {
			p.note(func(was route.Sight) route.Sight {
				was.Silent, was.Err = true, "no answer for "+lookMax.String()
				return was
			})
		}
		return err
	}
	state := route.Recovery
	if r.Writes {
		state = route.Writes
	}
	p.note(func(route.Sight) route.Sight { return route.Sight{State: state, At: sent, LSN: r.LSN} })
	return nil
}

// refused: no session can be had. A server that is full is there, and one that was silent may still be.
func (p *probe) refused(err error) {
	p.note(func(was route.Sight) route.Sight {
		if postgres.NoRoom(err) || was.Silent && postgres.Late(err) {
			was.Silent, was.Err = true, postgres.Brief(err)
			return was
		}
		return route.Sight{State: route.Down, At: p.now(), LSN: was.LSN, Err: postgres.Brief(err)}
	})
}

func (p *probe) note(change func(route.Sight) route.Sight) {
	p.mu.Lock()
	was := p.sight
	p.sight = change(was)
	// In a hurry the same answer comes again and again; only one that lets clients go is worth a decision.
	news := p.sight.State != was.State || p.sight.Silent != was.Silent || !p.hurry || p.sight.State == route.Writes
	p.mu.Unlock()
	if news {
		p.poke()
	}
}

func (p *probe) seen() route.Sight {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sight
}

func (p *probe) lookAfter() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hurry {
		return lookHurry
	}
	return lookEvery
}

func (p *probe) redialAfter(down time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.hurry:
		return redialHurry
	case down > longAfter:
		return redialLong
	}
	return redialEvery
}

// rush has the member looked at as often as can be, or not any more.
func (p *probe) rush(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on && !p.hurry && p.wake != nil {
		p.wake()
	}
	p.hurry = on
}

// pause waits, while a session is open for its end, which is an error.
func (p *probe) pause(ctx context.Context, s Session, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	p.mu.Lock()
	p.wake = cancel
	p.mu.Unlock()
	if s != nil {
		return s.Wait(ctx)
	}
	<-ctx.Done()
	return nil
}
