package warden

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/trust"
	"github.com/pgherd/pgherd/internal/vip"
)

// Client is one connection to a warden. It does not reconnect: when the connection
// breaks, Status().Alive is false for good and the owner calls Ensure again. All
// methods may be called at any time from any goroutine.
//
// A call whose ctx ends first returns its error, and its outcome is unknown.
type Client struct {
	conn    net.Conn
	changes chan struct{}

	mu      sync.Mutex
	status  Status
	lastID  uint64
	waiting map[uint64]chan *wireError // nil once the connection is lost
}

// newClient reads the greeting: hello, then the first status.
func newClient(ctx context.Context, conn net.Conn, dataDir string) (*Client, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 4096), lineBytesMax)
	h, err := readReply(lines)
	if err == nil && (h.Hello == nil || h.Hello.Protocol < 1) {
		err = fmt.Errorf("it is no warden")
	}
	if err == nil && h.Hello.DataDir != dataDir {
		err = fmt.Errorf("it guards %s, not %s", h.Hello.DataDir, dataDir)
	}
	if err == nil && h.Hello.Protocol > protocolVersion {
		err = fmt.Errorf("it speaks protocol %d, this binary only %d", h.Hello.Protocol, protocolVersion)
	}
	var first reply
	if err == nil {
		first, err = readReply(lines)
	}
	if err == nil && first.Status == nil {
		err = fmt.Errorf("it sent no status")
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("the warden does not answer as it should: %w", err)
	}
	c := &Client{conn: conn, changes: make(chan struct{}, 1), waiting: make(map[uint64]chan *wireError)}
	c.status, c.status.Alive = *first.Status, true
	go c.read(lines)
	return c, nil
}

func readReply(lines *bufio.Scanner) (r reply, err error) {
	if !lines.Scan() {
		if err := lines.Err(); err != nil {
			return r, err
		}
		return r, ErrDisconnected
	}
	return r, json.Unmarshal(lines.Bytes(), &r)
}

func (c *Client) read(lines *bufio.Scanner) {
	for {
		r, err := readReply(lines)
		if err != nil {
			c.disconnected()
			return
		}
		if r.Status != nil {
			c.setStatus(*r.Status)
		}
		if r.ID != 0 {
			c.answered(r)
		}
	}
}

// setStatus hints at a change unless only the deadline moved: the agent moves it at
// each renewal and must not be woken by itself.
func (c *Client) setStatus(s Status) {
	s.Alive = true
	c.mu.Lock()
	before, now := c.status, s
	c.status = s
	c.mu.Unlock()
	if before.Deadline != 0 && now.Deadline != 0 {
		before.Deadline = now.Deadline
	}
	if !before.equal(now) {
		c.hint()
	}
}

func (s Status) equal(t Status) bool {
	a, _ := json.Marshal(s)
	b, _ := json.Marshal(t)
	return s.Alive == t.Alive && string(a) == string(b)
}

func (c *Client) hint() {
	select {
	case c.changes <- struct{}{}:
	default:
	}
}

func (c *Client) answered(r reply) {
	c.mu.Lock()
	done := c.waiting[r.ID]
	delete(c.waiting, r.ID)
	c.mu.Unlock()
	if done != nil {
		done <- r.Error
	}
}

func (c *Client) disconnected() {
	c.conn.Close()
	c.mu.Lock()
	c.status.Alive = false
	for _, done := range c.waiting {
		close(done)
	}
	c.waiting = nil
	c.mu.Unlock()
	c.hint()
}

// call sends one request and waits for its answer.
func (c *Client) call(ctx context.Context, r request) error {
	done := make(chan *wireError, 1)
	if err := c.send(ctx, r, done); err != nil {
		return fmt.Errorf("warden: %s: %w", r.Op, err)
	}
	select {
	case w, ok := <-done:
		if !ok {
			return fmt.Errorf("warden: %s: %w", r.Op, ErrDisconnected)
		}
		return decodeError(r.Op, w)
	case <-ctx.Done():
		return fmt.Errorf("warden: %s: no answer: %w", r.Op, ctx.Err())
	}
}

func (c *Client) send(ctx context.Context, r request, done chan *wireError) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		return ErrDisconnected
	}
	c.lastID++
	r.ID = c.lastID
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(b) >= lineBytesMax {
		return fmt.Errorf("the request has %d bytes: %w", len(b), ErrRefused)
	}
	c.waiting[r.ID] = done
	limit := time.Now().Add(writeTimeout) // a frozen warden does not read
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		limit = d
	}
	_ = c.conn.SetWriteDeadline(limit)
	if _, err := c.conn.Write(append(b, '\n')); err != nil {
		c.conn.Close() // half a line may be out; read notices and tells everybody
		delete(c.waiting, r.ID)
		return ErrDisconnected
	}
	return nil
}

// Status gives what the warden last said; it does no I/O. After a call has returned it shows
// the call's effect. Exit and Fenced are shared: do not write to them.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Changes receives a hint (capacity 1, coalescing) after the status changed in more
// than the deadline's value, and when the connection breaks.
func (c *Client) Changes() <-chan struct{} { return c.changes }

// Start runs the postmaster and returns when it has been executed, not when it accepts
// connections. Errors: ErrNotEmpty, ErrNotArmed, ErrStopping, ErrRefused.
func (c *Client) Start(ctx context.Context, cmd Command) error {
	return c.call(ctx, request{Op: "start", Command: &cmd})
}

// Signal sends sig to the postmaster only. Errors: ErrNotRunning.
func (c *Client) Signal(ctx context.Context, sig syscall.Signal) error {
	return c.call(ctx, request{Op: "signal", Signal: int(sig)})
}

// Fence kills every process of the instance now and returns when none is left. The next
// Start needs an Arm or a Disarm first.
func (c *Client) Fence(ctx context.Context, reason string) error {
	return c.call(ctx, request{Op: "fence", Reason: reason})
}

// Arm moves the deadline forward to at least this instant; an earlier one than is known
// is no error and changes nothing but the term. Errors: ErrLowerTerm, ErrDeadlinePast.
func (c *Client) Arm(ctx context.Context, deadline core.Instant, term uint64) error {
	return c.call(ctx, request{Op: "arm", Deadline: deadline, Term: term})
}

// Renewed is Arm by a renewal of the lease that was sent at sent: a watchdog goes by when others may
// lead, too.
func (c *Client) Renewed(ctx context.Context, sent core.Instant, l core.LeaseRecord) error {
	return c.call(ctx, request{Op: "arm", Deadline: trust.Until(sent, l), Term: l.Term, TTL: l.TTL.D(), Margin: l.Margin.D()})
}

// Watchdog says which hardware watchdog the warden is to feed, if any. Errors: ErrUnsupported by one
// that is older.
func (c *Client) Watchdog(ctx context.Context, wish spec.Watchdog) error {
	return c.call(ctx, request{Op: "watchdog", Watchdog: &wish})
}

// GuardVIP says which address is to be taken away when the postmaster ends or is killed; nil: none. Errors:
// ErrNotRunning, ErrCapability, ErrUnsupported by a warden that is older.
func (c *Client) GuardVIP(ctx context.Context, a *vip.Address) error {
	return c.call(ctx, request{Op: "vip", VIP: a})
}

// Disarm takes the deadline away: a standby needs none. Errors: ErrLowerTerm.
func (c *Client) Disarm(ctx context.Context, term uint64) error {
	return c.call(ctx, request{Op: "disarm", Term: term})
}

// Quit ends the warden if the instance is empty. Errors: ErrNotEmpty.
func (c *Client) Quit(ctx context.Context) error {
	return c.call(ctx, request{Op: "quit"})
}

// Close ends the connection; the warden and postgres go on.
func (c *Client) Close() error { return c.conn.Close() }
