package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrClosed: the pool was closed.
var ErrClosed = errors.New("client: the pool is closed")

// ErrNotReady: the context ended while no member accepted writes. Nothing was sent. The context's own error is wrapped, too.
var ErrNotReady = errors.New("client: no member accepts writes")

// Config says what to follow. Only DSN is needed.
type Config struct {
	// DSN is a connection string with the addresses of all members, in libpq's form; `pgherd dsn --format pgx`
	// prints it. Settings of pgxpool (pool_max_conns and its like) may be in it. target_session_attrs is not heeded.
	DSN string

	// Pool, if set, changes the configuration of each pool before it is made: sizes, types, hooks. Hooks are called
	// besides the package's own. It must not change the host, and may be called at any time from another goroutine.
	Pool func(*pgxpool.Config)

	// Watch, if set, follows the members' event stream besides probing: a planned switchover is known before it
	// happens, so that Acquire waits for its end instead of giving out connections that are about to end.
	Watch *Watch

	// Drain is how long connections to a former primary that are in use have left, all together; then they
	// are cut, and what was under way on them fails. Default: 5 s.
	Drain time.Duration

	// Hold is how long an announced switchover may hold Acquire when nothing more is heard of it. Default: 15 s.
	Hold time.Duration

	// Log gets changes of state, without secrets. Default: none.
	Log *slog.Logger
}

// Watch is the members' API. It is for who may look: a viewer is enough, by its certificate (`pgherd viewer create`) or by an
// access token (`pgherd access create NAME --role viewer`).
type Watch struct {
	URLs  []string    // "https://10.0.0.1:7432", of all members; they are tried in turn
	TLS   *tls.Config // with the cluster's CA, and the certificate, if it is by that
	Token string      // the access token: a secret, sent over TLS only
}

// Target is the primary that is followed.
type Target struct {
	Host     string
	Port     uint16
	Timeline uint32 // PostgreSQL's; grows with each change of primary
}

// Pool follows the primary. All methods are safe for concurrent use.
type Pool struct {
	o     Config
	base  *pgxpool.Config
	hosts []host
	end   context.CancelFunc
	ended chan struct{} // the goroutines have ended
	wake  chan struct{} // look again at the primary

	mu        sync.Mutex
	state     State
	changed   chan struct{} // closed by the next change of state
	gen       *generation   // nil before the first primary was found
	systemID  string        // of the first database that was found: another one is another cluster
	announced time.Time     // until when a switchover that was announced holds; zero: none
	confirmed time.Time     // when the primary last proved to be one
	made      uint64        // generations
	onReady   []func(Target)
	drains    sync.WaitGroup
}

// Open begins to look for the primary. It needs nobody to answer: the database may not even exist yet.
// An error is of the configuration.
func Open(c Config) (*Pool, error) {
	base, err := pgxpool.ParseConfig(c.DSN)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if c.Drain <= 0 {
		c.Drain = 5 * time.Second
	}
	if c.Hold <= 0 {
		c.Hold = 15 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if base.ConnConfig.ConnectTimeout <= 0 {
		base.ConnConfig.ConnectTimeout = connectLimit
	}
	p := &Pool{o: c, base: base, hosts: hostsOf(base.ConnConfig), ended: make(chan struct{}), wake: make(chan struct{}, 1), changed: make(chan struct{}), state: Absent}
	ctx, end := context.WithCancel(context.Background())
	p.end = end
	var parts sync.WaitGroup
	parts.Go(func() { p.follow(ctx) })
	if c.Watch != nil {
		parts.Go(func() { p.watch(ctx, *c.Watch) })
	}
	go func() { parts.Wait(); close(p.ended) }()
	return p, nil
}

// Close ends the pool. Connections in use have Config.Drain to be released; then they are cut.
func (p *Pool) Close() {
	p.mu.Lock()
	if p.state == Draining || p.state == Closed {
		p.mu.Unlock()
		p.awaitClosed()
		return
	}
	p.set(Draining)
	gen := p.gen
	p.mu.Unlock()
	p.end()
	<-p.ended
	if gen != nil {
		p.retire(gen)
	}
	p.drains.Wait()
	p.mu.Lock()
	p.set(Closed)
	p.mu.Unlock()
}

// awaitClosed waits for another call of Close.
func (p *Pool) awaitClosed() {
	for {
		p.mu.Lock()
		state, changed := p.state, p.changed
		p.mu.Unlock()
		if state == Closed {
			return
		}
		<-changed
	}
}

// WaitReady returns when a primary is followed. Its error is ErrClosed, or ErrNotReady with the context's.
func (p *Pool) WaitReady(ctx context.Context) error {
	_, err := p.ready(ctx)
	return err
}

// OnReady has f called, on a goroutine of its own, each time that the pool follows another primary (or the same
// after a restart), and now if it follows one already.
func (p *Pool) OnReady(f func(Target)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onReady = append(p.onReady, f)
	if p.state == Ready {
		go f(p.gen.target)
	}
}
