package api

import (
	"net"
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// What one address may cost: connections at a time, and tokens that are not good. Other requests are not counted: members
// ask each other once a second, load balancers as often as they like, and who shows nothing is refused for next to nothing.
const (
	connsMax       = 2000
	connsPerHost   = 250
	refusedEvery   = 5  // a second, of one address
	refusedBurst   = 50 // a person who mistypes, a script with an old token
	strangersKnown = 4096
)

// strangers counts tokens that were refused, for access and for joins, by address.
type strangers struct {
	mu    sync.Mutex
	known map[netip.Prefix]*rate.Limiter
}

// tooMany says that this address has used up its refusals.
func (s *strangers) tooMany(r *http.Request) bool {
	host, ok := home(r.RemoteAddr)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.known[host]
	return ok && l != nil && l.Tokens() < 1
}

// refused counts one.
func (s *strangers) refused(r *http.Request) {
	host, ok := home(r.RemoteAddr)
	if !ok {
		return // the unix socket: the kernel says who is there
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[host] == nil {
		s.makeRoom()
		s.known[host] = rate.NewLimiter(refusedEvery, refusedBurst)
	}
	s.known[host].Allow()
}

// home is whose address it is: of IPv6 the /64, which one machine may have to itself.
func home(remote string) (netip.Prefix, bool) {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}, false
	}
	addr, bits := at.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	return p, err == nil
}

// makeRoom forgets who has not been refused for a while. In a flood from everywhere that is nobody: then any one goes, so that
// who guesses is not forgotten with all others.
func (s *strangers) makeRoom() {
	if s.known == nil {
		s.known = map[netip.Prefix]*rate.Limiter{}
	}
	if len(s.known) < strangersKnown {
		return
	}
	for host, l := range s.known {
		if l.Tokens() >= refusedBurst {
			delete(s.known, host)
		}
	}
	for host := range s.known {
		if len(s.known) < strangersKnown {
			return
		}
		delete(s.known, host)
	}
}

var errTooMany = refuse(http.StatusTooManyRequests, "too_many_requests", "wait a moment; `pgherd access create` makes a token that is good", "too many requests from this address were refused")

// crowd is a listener that closes connections beyond its limits at once, before a handshake costs anything.
type crowd struct {
	net.Listener
	mu    sync.Mutex
	open  map[string]int
	total int
}

func newCrowd(l net.Listener) *crowd { return &crowd{Listener: l, open: map[string]int{}} }

// Accept gives the next connection that is within the limits.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err != nil {
			host = conn.RemoteAddr().String()
		}
		if c.enter(host) {
			return &counted{Conn: conn, leave: func() { c.exit(host) }}, nil
		}
		_ = conn.Close()
	}
}

func (c *crowd) enter(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= connsMax || c.open[host] >= connsPerHost {
		return false
	}
	c.total++
	c.open[host]++
	return true
}

func (c *crowd) exit(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.open[host]--; c.open[host] == 0 {
		delete(c.open, host)
	}
}

// counted is counted out once, however often it is closed.
type counted struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close closes the connection.
func (c *counted) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
