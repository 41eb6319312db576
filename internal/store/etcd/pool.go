package etcd

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// returnAfter is how long calls stay away from the preferred endpoint after it
// failed. A read tries it then, and costs at most one hedge if it is still dead.
const returnAfter = 15 * time.Second

// pool is the endpoints in order of preference, and which one is in use.
type pool struct {
	tls    *tls.Config
	logger *slog.Logger

	mu        sync.Mutex
	endpoints []*endpoint
	inUse     *endpoint
	left      time.Time     // when endpoints[0] was left for another
	moved     chan struct{} // closed when inUse changes, then replaced
	closed    bool
}

func newPool(conf *tls.Config, logger *slog.Logger) *pool {
	return &pool{tls: conf, logger: logger, moved: make(chan struct{})}
}

// set replaces the endpoints; those that stay keep their connection.
func (p *pool) set(urls []string) error {
	if len(urls) == 0 {
		return errors.New("etcd: no endpoints")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	next := make([]*endpoint, 0, len(urls))
	for _, url := range slices.Compact(slices.Clone(urls)) {
		e := find(p.endpoints, url)
		if e == nil {
			var err error
			if e, err = newEndpoint(url, p.tls); err != nil {
				closeAllBut(next, p.endpoints)
				return err
			}
		}
		next = append(next, e)
	}
	closeAllBut(p.endpoints, next)
	p.endpoints = next
	if !slices.Contains(next, p.inUse) {
		p.use(next[0], time.Time{})
	}
	return nil
}

// order lists the endpoints as a call should try them: the one in use, then the
// others. A read may be sent back to the preferred one after a while.
func (p *pool) order(mayReturn bool) []*endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.endpoints) == 0 {
		return nil
	}
	first := p.inUse
	if mayReturn && first != p.endpoints[0] && time.Since(p.left) > returnAfter {
		p.left = time.Now() // one call tries, not all that run now
		first = p.endpoints[0]
	}
	order := []*endpoint{first}
	for _, e := range p.endpoints {
		if e != first {
			order = append(order, e)
		}
	}
	return order
}

// answered makes the endpoint that answered first the one in use.
func (p *pool) answered(e *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e == p.inUse || !slices.Contains(p.endpoints, e) {
		return
	}
	p.logger.Info("etcd endpoint in use changed", "from", p.inUse.url, "to", e.url)
	p.use(e, time.Now())
}

func (p *pool) use(e *endpoint, left time.Time) {
	p.inUse, p.left = e, left
	close(p.moved)
	p.moved = make(chan struct{})
}

// moves is closed when another endpoint comes into use.
func (p *pool) moves() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moved
}

func (p *pool) urls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	urls := make([]string, len(p.endpoints))
	for i, e := range p.endpoints {
		urls[i] = e.url
	}
	return urls
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	closeAllBut(p.endpoints, nil)
	p.endpoints = nil
}

func find(endpoints []*endpoint, url string) *endpoint {
	for _, e := range endpoints {
		if e.url == url {
			return e
		}
	}
	return nil
}

func closeAllBut(endpoints, keep []*endpoint) {
	for _, e := range endpoints {
		if !slices.Contains(keep, e) {
			e.conn.Close()
		}
	}
}
