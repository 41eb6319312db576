//go:build lab

package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// connectLimit is short, since whoever is down must not delay the search for who is up.
const connectLimit = time.Second

// conn is one connection to one member.
type conn struct {
	member string
	pg     *pgconn.PgConn
	raw    net.Conn // below TLS: closing it ends a pending read, and says nothing to the server
	warned string   // the last warning; written and read only by whoever reads the answer
}

func (c Config) dsn(addr string) string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(c.User, c.Password), Host: addr, Path: "/" + c.Database}
	u.RawQuery = url.Values{"sslmode": {c.SSLMode}, "application_name": {cmp.Or(c.app, "lab")}}.Encode()
	return u.String()
}

// connect gives a connection to the member, whatever role it has.
func (c Config) connect(ctx context.Context, m Member) (*conn, error) {
	config, err := pgconn.ParseConfig(c.dsn(m.Addr))
	if err != nil {
		return nil, err
	}
	made := &conn{member: m.Name}
	config.DialFunc = made.dialOnce()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Severity == "WARNING" {
			made.warned = n.Code + " " + n.Message
		}
	}
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	made.pg, err = pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return made, nil
}

// dialOnce refuses every call but the first. pgx dials again to send a cancel request whenever reading
// fails, also when it is we who closed; and a cancelled wait for standbys would be a commit
// that is visible without them.
func (c *conn) dialOnce() pgconn.DialFunc {
	var dialled atomic.Bool
	return func(ctx context.Context, network, addr string) (raw net.Conn, err error) {
		if dialled.Swap(true) {
			return nil, errors.New("this client sends no cancel requests")
		}
		raw, err = new(net.Dialer).DialContext(ctx, network, addr)
		c.raw = raw
		return raw, err
	}
}

// exec runs one statement by the simple protocol, in which CommandComplete follows the commit. It takes
// no context: pgx sends a cancel request for a context that ends.
func (c *conn) exec(sql string) (rows [][]string, err error) {
	c.warned = ""
	results, err := c.pg.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, row := range results[len(results)-1].Rows {
		var text []string
		for _, value := range row {
			text = append(text, string(value))
		}
		rows = append(rows, text)
	}
	return rows, nil
}

// close drops the connection without a word, as a client that dies would.
func (c *conn) close() { _ = c.raw.Close() }

// primary gives a connection to whichever member accepts writes. All are asked at the same
// time: it stands for a multi-host connection string with target_session_attrs=read-write, less
// that string's wait for each dead host in turn, which would measure the driver and not the cluster.
func (c Config) primary(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		c   *conn
		err error
	}
	answers := make(chan answer, len(c.Members))
	for _, m := range c.Members {
		go func() {
			found, err := c.writable(ctx, m)
			answers <- answer{found, err}
		}()
	}
	var all []error
	for i := range c.Members {
		a := <-answers
		if a.err == nil {
			go drain(answers, len(c.Members)-i-1, func(a answer) {
				if a.c != nil {
					a.c.close()
				}
			})
			return a.c, nil
		}
		all = append(all, a.err)
	}
	return nil, errors.Join(all...)
}

func drain[T any](from <-chan T, n int, with func(T)) {
	for range n {
		with(<-from)
	}
}

func (c Config) writable(ctx context.Context, m Member) (*conn, error) {
	found, err := c.connect(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	// It may freeze between the handshake and this question.
	_ = found.raw.SetReadDeadline(time.Now().Add(connectLimit))
	rows, err := found.exec("SHOW transaction_read_only")
	_ = found.raw.SetReadDeadline(time.Time{})
	if err == nil && (len(rows) != 1 || rows[0][0] != "off") {
		err = errors.New("it is a standby")
	}
	if err != nil {
		found.close()
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	return found, nil
}
