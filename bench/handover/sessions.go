package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

const (
	statementMax = 20 * time.Second // a client that waits longer has lost its patience, and that is a failure
	redialPause  = 20 * time.Millisecond
)

// sessions are clients that write a row, think, and write again, and note what they saw.
type sessions struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	think  time.Duration // on average

	mu   sync.Mutex
	seen []sight
}

// sight is one thing that a client saw.
type sight struct {
	at     time.Time
	client int
	what   string // of the constants below
	text   string
}

// What clients see.
const (
	sawDone     = "done"
	sawFailed   = "failed"    // a statement, and the connection is still good
	sawLostOpen = "lost open" // the connection, with a statement under way
	sawLostIdle = "lost idle" // the connection, while the client thought
	sawLostNew  = "lost new"  // the connection, with a statement that never reached a server
)

// session is one client. Its socket is kept, to see that the other end hung up before anything is sent.
type session struct {
	group  *sessions
	id     int
	dsn    string
	conn   *pgx.Conn
	socket *net.TCPConn
}

// startSessions makes the table and lets n clients begin.
func startSessions(ctx context.Context, dsn string, n int, think time.Duration) (*sessions, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, "DROP TABLE IF EXISTS bench_sessions; CREATE TABLE bench_sessions (client int, at timestamptz DEFAULT now())")
	_ = conn.Close(ctx)
	if err != nil {
		return nil, fmt.Errorf("the sessions' table: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	g := &sessions{cancel: cancel, think: think}
	for i := range n {
		s := &session{group: g, id: i, dsn: dsn}
		g.done.Go(func() { s.run(ctx) })
	}
	return g, nil
}

func (g *sessions) stop() {
	g.cancel()
	g.done.Wait()
}

// pause is half to one and a half of the mean: clients that were all held once would else write in step from then on.
func (g *sessions) pause() time.Duration { return g.think/2 + rand.N(g.think) }

func (g *sessions) note(s sight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = append(g.seen, s)
}

func (s *session) run(ctx context.Context) {
	defer func() { s.drop() }()
	for sleep(ctx, s.group.pause()) == nil {
		if s.conn != nil && s.hungUp() {
			s.saw(sawLostIdle, "the other end hung up")
			s.drop()
		}
		if s.conn == nil && s.dial(ctx) != nil { // what it costs is in the gap
			_ = sleep(ctx, redialPause)
			continue
		}
		s.write(ctx)
	}
}

func (s *session) write(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, statementMax)
	defer cancel()
	_, err := s.conn.Exec(limited, "INSERT INTO bench_sessions (client) VALUES ($1)", s.id)
	switch {
	case ctx.Err() != nil: // the end
	case err == nil:
		s.saw(sawDone, "")
	case s.conn.IsClosed():
		what := sawLostOpen
		if strings.Contains(err.Error(), "server login has been failing") { // PgBouncer's word for a client that has no server and finds none
			what = sawLostNew
		}
		s.saw(what, err.Error())
		s.drop()
	default:
		s.saw(sawFailed, err.Error())
	}
}

func (s *session) saw(what, text string) {
	s.group.note(sight{time.Now(), s.id, what, text})
}

func (s *session) dial(ctx context.Context) error {
	cfg, err := pgx.ParseConfig(s.dsn)
	if err != nil {
		return err
	}
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		s.socket, _ = conn.(*net.TCPConn)
		return conn, err
	}
	s.conn, err = pgx.ConnectConfig(ctx, cfg)
	return err
}

func (s *session) drop() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx)
	}
	s.conn, s.socket = nil, nil
}

// hungUp asks the kernel whether the other end has closed; nothing is sent or read.
func (s *session) hungUp() (closed bool) {
	if s.socket == nil {
		return false
	}
	raw, err := s.socket.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, _ := unix.Poll(fds, 0)
		closed = n > 0
	})
	return closed || err != nil
}
