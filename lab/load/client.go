//go:build lab

package load

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgherd/pgherd/lab/history"
)

// How long a client waits for an answer before it looks for another server. It goes on listening to the
// old one, so that a late acknowledgement is seen; and it becomes slower when it had to give up
// often, so as not to use up all connections of a primary that waits for its standbys.
const (
	patience     = 1500 * time.Millisecond
	patienceLong = 10 * time.Second
	givenUpMax   = 3
)

// client is one worker's view: at most one connection in use.
type client struct {
	l       *Load
	name    string
	routed  bool
	connect func(context.Context) (*conn, error)
	c       *conn
	givenUp int
	waits   time.Duration // 0: see patience
}

func (l *Load) routed(name string) *client {
	return &client{l: l, name: name, routed: true, connect: l.cfg.primary}
}

func (l *Load) direct(name string, m Member) *client {
	return &client{l: l, name: name, connect: func(ctx context.Context) (*conn, error) {
		c, err := l.cfg.connect(ctx, m)
		if err == nil {
			// A standby refuses each probe; its log need not tell twenty times a second.
			_, _ = c.exec("SET log_min_messages = panic")
		}
		return c, err
	}}
}

// ready makes sure that there is a connection.
func (k *client) ready() bool {
	if k.c != nil {
		return true
	}
	c, err := k.connect(k.l.quit)
	if err != nil || !k.l.use(c) {
		return false
	}
	k.c = c
	return true
}

// ask runs a statement. Its operation is recorded when the answer comes, however late. It
// gives false when there was none within the client's patience, or the connection is gone.
func (k *client) ask(o history.Op, sql string, read func(*history.Op, [][]string)) (history.Op, bool) {
	c := k.c
	o.Worker, o.Routed, o.Member, o.Sent = k.name, k.routed, c.member, k.l.now()
	answered := make(chan history.Op, 1)
	k.l.pending.Go(func() {
		done := o
		rows, err := c.exec(sql)
		done.Done = k.l.now()
		done.Outcome, done.Text = outcome(err, c.warned)
		if done.Outcome == history.Acked {
			read(&done, rows)
		}
		k.l.record(done)
		answered <- done
	})
	select {
	case done := <-answered:
		if done.Outcome != history.Unknown && o.Kind != history.Get {
			k.givenUp = 0 // a read of a register comes before each write of it, and waits for no standby
		}
		if c.pg.IsClosed() || done.Outcome == history.Unknown {
			k.c = nil
			k.drop(c)
		}
		return done, done.Outcome == history.Acked
	case <-time.After(k.patience()):
		k.c = nil
		k.givenUp++
		go func() { // the answer may still come
			<-answered
			k.drop(c)
		}()
		return o, false
	case <-k.l.quit.Done():
		return o, false
	}
}

func (k *client) patience() time.Duration {
	if k.waits > 0 {
		return k.waits
	}
	if k.givenUp >= givenUpMax {
		return patienceLong
	}
	return patience
}

func (k *client) drop(c *conn) {
	k.l.unuse(c)
	c.close()
}

// outcome is what a client may conclude. An ERROR aborts the transaction; a FATAL (the server
// ends) can come after the commit was written.
func outcome(err error, warned string) (history.Outcome, string) {
	var server *pgconn.PgError
	switch {
	case err == nil && warned == "":
		return history.Acked, ""
	case err == nil:
		return history.Unknown, "WARNING " + warned
	case errors.As(err, &server) && server.Severity == "ERROR":
		return history.Refused, err.Error()
	default:
		return history.Unknown, err.Error()
	}
}

// use takes a connection into the list of those to close; false when the load ended.
func (l *Load) use(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quit.Err() != nil {
		c.close()
		return false
	}
	l.open[c] = true
	return true
}

func (l *Load) unuse(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

func (l *Load) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		c.close()
	}
}

// position reads the columns that each write returns.
func (l *Load) position(o *history.Op, row []string) {
	timeline, _ := strconv.ParseUint(row[0], 16, 32)
	high, low, _ := strings.Cut(row[1], "/")
	h, _ := strconv.ParseUint(high, 16, 32)
	n, _ := strconv.ParseUint(low, 16, 32)
	o.Timeline, o.LSN = uint32(timeline), h<<32|n
	for _, m := range l.cfg.Members {
		if host, _, _ := strings.Cut(m.Addr, ":"); host == row[2] {
			o.Member = m.Name
		}
	}
}
