package client

import (
	"context"
	"time"
)

const (
	searchEvery = 50 * time.Millisecond  // between looks at one member while nobody is known to lead
	searchLater = 250 * time.Millisecond // when that has lasted for searchLong
	searchLong  = 30 * time.Second
	lookEvery   = 2 * time.Second // at a primary that nobody complains of; its end shows at once
)

// follow looks for the primary, gives out its connections until it is none any more, and begins again.
func (p *Pool) follow(ctx context.Context) {
	for ctx.Err() == nil {
		found, at := p.search(ctx)
		if at == nil {
			return
		}
		if p.adopt(ctx, found) {
			p.stay(ctx, at, found)
		}
		at.leave()
		p.hold()
	}
}

// found is a member's word, and whether it was taken.
type report struct {
	sighting
	seat  *seat
	taken chan bool
}

// search looks at all members at once until one is the primary; a member that hangs holds up none of
// the others. Sessions stay open meanwhile, because a standby's sees it becoming primary. A nil seat: ctx ended.
func (p *Pool) search(ctx context.Context) (sighting, *seat) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reports := make(chan report)
	for _, h := range p.hosts {
		go p.lookAt(ctx, h, reports)
	}
	for {
		select {
		case r := <-reports:
			good := p.acceptable(r.sighting)
			r.taken <- good
			if good {
				return r.sighting, r.seat
			}
		case <-ctx.Done():
			return sighting{}, nil
		}
	}
}

// lookAt reports what one member says of itself, again and again.
func (p *Pool) lookAt(ctx context.Context, h host, reports chan<- report) {
	began := time.Now()
	var at *seat
	defer func() {
		if at != nil {
			at.leave()
		}
	}()
	for {
		if at == nil {
			at, _ = p.sit(ctx, h)
		}
		if at != nil {
			s, err := at.look(ctx)
			if err != nil {
				at.leave()
				at = nil
			} else if p.reported(ctx, report{s, at, make(chan bool, 1)}, reports) {
				at = nil // somebody else's now
				return
			}
		}
		every := searchEvery
		if time.Since(began) > searchLong {
			every = searchLater
		}
		if !sleep(ctx, every) {
			return
		}
	}
}

func (p *Pool) reported(ctx context.Context, r report, to chan<- report) bool {
	select {
	case to <- r:
		return <-r.taken
	case <-ctx.Done():
		return false
	}
}

// acceptable: a primary, of the cluster that was found first, and not one of the past: what an
// older timeline's primary still says counts for nothing.
func (p *Pool) acceptable(s sighting) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == Absent {
		p.set(Waiting)
	}
	switch {
	case p.systemID != "" && s.systemID != p.systemID:
		p.o.Log.Warn("pgherd client: a member is of another cluster", "host", s.host.name, "port", s.host.port)
		return false
	case !s.writable:
		return false
	}
	return p.gen == nil || s.timeline >= p.gen.target.Timeline
}

// adopt makes s the primary that is followed: the new pool first, then the change, then the old one drains.
// False: it does not give connections after all.
func (p *Pool) adopt(ctx context.Context, s sighting) bool {
	p.mu.Lock()
	same := p.gen != nil && p.gen.is(s)
	p.mu.Unlock()
	if same { // a false alarm: the server is the same process that it was
		p.confirm()
		return true
	}
	gen, err := p.newGeneration(ctx, s)
	if err != nil {
		p.o.Log.Warn("pgherd client: the primary gives no connection", "host", s.host.name, "port", s.host.port, "error", err)
		sleep(ctx, searchEvery)
		return false
	}
	p.mu.Lock()
	old := p.gen
	p.gen, p.systemID, p.announced, p.confirmed = gen, s.systemID, time.Time{}, time.Now()
	p.made++
	p.set(Ready)
	for _, f := range p.onReady {
		go f(gen.target)
	}
	p.mu.Unlock()
	p.o.Log.Info("pgherd client follows", "host", s.host.name, "port", s.host.port, "timeline", s.timeline)
	if old != nil {
		p.retire(old)
	}
	return true
}

// stay returns when the member is not the primary any more that it was, or does not say so.
func (p *Pool) stay(ctx context.Context, at *seat, was sighting) {
	at.listen(ctx)
	for {
		woken, alive := p.rest(ctx, at)
		if !alive || ctx.Err() != nil {
			return
		}
		s, err := at.look(ctx)
		if err != nil || !s.writable || s.timeline != was.timeline || s.started != was.started {
			p.o.Log.Info("pgherd client: the primary is gone", "host", was.host.name, "port", was.host.port, "woken", woken, "error", err)
			return
		}
		p.confirm()
	}
}

// rest waits on the session until there is a reason to look: a poke, a notification, time. The end of
// the server ends the session, which shows here first.
func (p *Pool) rest(ctx context.Context, at *seat) (woken, alive bool) {
	ctx, cancel := context.WithTimeout(ctx, p.lookIn())
	defer cancel()
	poked := make(chan bool, 1)
	go func() {
		defer cancel()
		select {
		case <-p.wake:
			poked <- true
		case <-ctx.Done():
			poked <- false
		}
	}()
	_, _ = at.conn.WaitForNotification(ctx)
	cancel()
	return <-poked, !at.conn.IsClosed()
}

// lookIn: at the latest when an announcement runs out.
func (p *Pool) lookIn() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if left := time.Until(p.announced); left > 0 {
		return min(left+time.Millisecond, lookEvery)
	}
	return lookEvery
}

// listen hears of a new primary that tells of itself; see docs/applications.md.
func (s *seat) listen(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	_, _ = s.conn.PgConn().Exec(ctx, "LISTEN pgherd").ReadAll() // without it, nothing is lost but that
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
