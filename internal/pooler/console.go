package pooler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"golang.org/x/sys/unix"
)

// console is one session of PgBouncer's admin console, over the unix socket by OS user. It is
// spoken on the wire, not by way of a driver: a driver that gives a PAUSE up sends a cancel
// request, keeps the session, or reads an operator's PG* variables. Sessions are short: one that
// once waited for a PAUSE gets its answer when another PAUSE ends (PgBouncer's issue 715).
type console struct {
	conn net.Conn
	wire *pgproto3.Frontend
	pid  int // of the process that listens
}

// consoleError is what PgBouncer answered.
type consoleError struct{ command, text string }

func (e *consoleError) Error() string { return fmt.Sprintf("PgBouncer: %s: %s", e.command, e.text) }

// answered tells whether err is PgBouncer's own refusal with these words.
func answered(err error, words string) bool {
	var e *consoleError
	return errors.As(err, &e) && strings.Contains(e.text, words)
}

// dial opens a session. ErrNotRunning: nobody listens. Commands go out with the login, without a wait for it: their answers
// are still to be read.
func dial(ctx context.Context, socket string, commands ...string) (*console, error) {
	c, err := dialOnce(ctx, socket, commands)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrUnexpectedEOF) {
		return dialOnce(ctx, socket, commands) // it ended just then: nobody listens any more
	}
	return c, err
}

func dialOnce(ctx context.Context, socket string, commands []string) (*console, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("PgBouncer's console: %w", err)
	}
	c := &console{conn: conn, wire: pgproto3.NewFrontend(conn, conn)}
	if c.pid, err = listener(conn.(*net.UnixConn)); err == nil {
		err = c.login(ctx, commands)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// listener is the process that called listen() on the other end.
func listener(conn *net.UnixConn) (pid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return 0, e
	}
	if err != nil {
		return 0, fmt.Errorf("PgBouncer's console: %w", err)
	}
	return int(cred.Pid), nil
}

func (c *console) login(ctx context.Context, commands []string) error {
	c.wire.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersionNumber,
		Parameters: map[string]string{"user": "pgbouncer", "database": "pgbouncer", "application_name": "pgherd"}})
	if err := c.send(ctx, commands...); err != nil {
		return err
	}
	_, err := c.answer(ctx, "login")
	return err
}

func (c *console) Close() { _ = c.conn.Close() }

// rows is the answer to a SHOW: a map for each row.
type rows []map[string]string

// number gives 0 for what is no number, or a column that this version has not.
func (r rows) number(i int, column string) int {
	n, _ := strconv.Atoi(r[i][column])
	return n
}

// command runs one and waits for its answer, or for ctx.
func (c *console) command(ctx context.Context, sql string) (rows, error) {
	if err := c.send(ctx, sql); err != nil {
		return nil, err
	}
	return c.answer(ctx, sql)
}

// send does not wait for the answers. PgBouncer, which is one thread, does commands that are sent together
// one after the other and nothing between.
func (c *console) send(ctx context.Context, commands ...string) error {
	deadline, _ := ctx.Deadline()
	_ = c.conn.SetWriteDeadline(deadline)
	for _, sql := range commands {
		c.wire.Send(&pgproto3.Query{String: sql})
	}
	return failed(ctx, cmp.Or(strings.Join(commands, "; "), "login"), c.wire.Flush())
}

// failed says why a session is of no more use: of a deadline that passed, that it was ctx's.
func failed(ctx context.Context, command string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = context.DeadlineExceeded
	}
	return fmt.Errorf("PgBouncer: %s: %w", command, err)
}

// answer reads up to the next "ready". A session whose ctx has ended is good for nothing more.
func (c *console) answer(ctx context.Context, command string) (found rows, err error) {
	_ = c.conn.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var columns []string
	var refused error
	for {
		message, err := c.wire.Receive()
		if err != nil {
			return nil, failed(ctx, command, err)
		}
		switch m := message.(type) {
		case *pgproto3.RowDescription:
			columns = nil
			for _, f := range m.Fields {
				columns = append(columns, string(f.Name))
			}
		case *pgproto3.DataRow:
			found = append(found, rowOf(columns, m.Values))
		case *pgproto3.ErrorResponse:
			refused = &consoleError{command, m.Message}
			if m.Severity == "FATAL" {
				return nil, refused
			}
		case *pgproto3.ReadyForQuery:
			return found, refused
		}
	}
}

func rowOf(columns []string, values [][]byte) map[string]string {
	row := map[string]string{}
	for i, v := range values {
		if i < len(columns) {
			row[columns[i]] = string(slices.Clone(v))
		}
	}
	return row
}
