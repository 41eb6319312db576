package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	statementTimeout = 10 * time.Second
	reconnectPause   = 10 * time.Millisecond
	writePause       = time.Millisecond // four writers should show an outage, not load a laptop
	rowsTable        = "demo_rows"
)

// Load is writers that insert rows all the time and remember what they were told.
type Load struct {
	config *pgx.ConnConfig
	run    int64
	ledger *ledger
	line   timeline
	stop   chan struct{}
	done   sync.WaitGroup
}

// StartLoad makes the table if need be and starts n writers through the writing DSN.
func (c *Cluster) StartLoad(ctx context.Context, n int) (*Load, error) {
	return startLoad(ctx, c.WriteDSN(), n)
}

func startLoad(ctx context.Context, dsn string, n int) (*Load, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("the writing DSN: %w", err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // one round trip, also on a new connection
	l := &Load{config: config, run: time.Now().UnixNano(), ledger: newLedger(), stop: make(chan struct{})}
	if err := l.makeTable(ctx); err != nil {
		return nil, err
	}
	for w := range n {
		l.done.Go(func() { l.write(w) })
	}
	return l, nil
}

func (l *Load) makeTable(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+rowsTable+
		" (run bigint NOT NULL, writer int NOT NULL, seq bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())")
	return err
}

// Stop ends the writers after their current statement.
func (l *Load) Stop() {
	close(l.stop)
	l.done.Wait()
}

func (l *Load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// write is one writer: it connects again at once whenever it has no connection.
func (l *Load) write(writer int) {
	var conn *writerConn
	for seq := int64(1); !l.stopped(); {
		if conn == nil {
			if conn = l.connect(); conn == nil {
				time.Sleep(reconnectPause)
				continue
			}
		}
		if !l.insert(conn, row{writer, seq}) {
			conn.close()
			conn = nil
			time.Sleep(reconnectPause)
		}
		seq++
		time.Sleep(writePause)
	}
	if conn != nil {
		conn.close()
	}
}

// writerConn is a connection that remembers whether the last answer came with a warning.
type writerConn struct {
	*pgx.Conn
	warned string
}

func (l *Load) connect() *writerConn {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	w := &writerConn{}
	config := l.config.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Code == "01000" {
			w.warned = n.Message
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		l.line.fail(Failure{At: time.Now(), Text: err.Error()})
		return nil
	}
	w.Conn = conn
	return w
}

func (w *writerConn) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.Conn.Close(ctx)
}

// insert tries one row and notes what is known of it then. false: the connection is of
// no more use.
func (l *Load) insert(conn *writerConn, r row) bool {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	conn.warned = ""
	_, err := conn.Exec(ctx, "INSERT INTO "+rowsTable+" (run, writer, seq) VALUES ($1, $2, $3)", l.run, r.writer, r.seq)
	now := time.Now()
	o := classify(err, conn.warned)
	l.ledger.note(r, o)
	switch {
	case o == outcomeAcked:
		l.line.ack(now)
	case err != nil:
		l.line.fail(Failure{At: now, Statement: true, Text: err.Error()})
	default:
		l.line.fail(Failure{At: now, Statement: true, Text: "acknowledged with a warning: " + conn.warned})
	}
	return err == nil
}

// classify says what a client may believe. A commit that was cancelled while it waited
// for a standby is acknowledged with WARNING 01000 and may yet be lost. An ERROR
// means rolled back; FATAL and a broken connection leave it open.
func classify(err error, warning string) outcome {
	var server *pgconn.PgError
	switch {
	case err == nil && warning == "":
		return outcomeAcked
	case err == nil:
		return outcomeUnknown
	case pgconn.SafeToRetry(err):
		return outcomeFailed
	case errors.As(err, &server) && server.SeverityUnlocalized == "ERROR":
		return outcomeFailed
	}
	return outcomeUnknown
}

// LongestGap is the longest time without an acknowledged write that touches [from, to].
func (l *Load) LongestGap(from, to time.Time) Gap { return l.line.longestGap(from, to) }

// Failures lists what clients saw fail in [from, to].
func (l *Load) Failures(from, to time.Time) []Failure { return l.line.failures(from, to) }

// WaitAcked waits until n writes after an instant were acknowledged.
func (l *Load) WaitAcked(ctx context.Context, since time.Time, n int) error {
	if !poll(ctx, reconnectPause, func() bool { return l.line.ackedSince(since) >= n }) {
		return fmt.Errorf("no write was acknowledged: %w", context.Cause(ctx))
	}
	return nil
}

// Acked, Unknown and Refused count the rows by what the writers were told.
func (l *Load) Acked() int { return l.ledger.count(outcomeAcked) }

// Unknown counts the rows whose connection was lost before the answer.
func (l *Load) Unknown() int { return l.ledger.count(outcomeUnknown) }

// Check compares what clients were told with the rows on every member; a standby gets time to catch up
// with the primary first. The writers must have been stopped.
func (l *Load) Check(ctx context.Context, c *Cluster, primary string) ([]Verdict, error) {
	var verdicts []Verdict
	var target string
	for _, name := range append([]string{primary}, without(c.Names(), primary)...) {
		v, lsn, err := l.checkMember(ctx, c.MemberDSN(name), name, target)
		if err != nil {
			return verdicts, fmt.Errorf("counting rows on %s: %w", name, err)
		}
		verdicts = append(verdicts, v)
		if name == primary {
			target = lsn
		}
	}
	return verdicts, nil
}

// checkMember counts on one member once it has replayed target ("": it is the primary).
func (l *Load) checkMember(ctx context.Context, dsn, name, target string) (v Verdict, lsn string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return v, "", err
	}
	defer conn.Close(context.Background())
	if target == "" {
		err = conn.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&lsn)
	} else if !poll(ctx, reconnectPause*5, func() bool {
		var there bool
		err = conn.QueryRow(ctx, "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", target).Scan(&there)
		return there || err != nil
	}) {
		err = fmt.Errorf("it did not reach %s", target)
	}
	if err != nil {
		return v, "", err
	}
	found, err := l.readRows(ctx, conn)
	return l.ledger.check(name, found), lsn, err
}

func (l *Load) readRows(ctx context.Context, conn *pgx.Conn) (map[row]int, error) {
	rows, err := conn.Query(ctx, "SELECT writer, seq, count(*)::int FROM "+rowsTable+" WHERE run = $1 GROUP BY 1, 2", l.run)
	if err != nil {
		return nil, err
	}
	found := map[row]int{}
	var r row
	var n int
	_, err = pgx.ForEachRow(rows, []any{&r.writer, &r.seq, &n}, func() error {
		found[r] = n
		return nil
	})
	return found, err
}

func without(names []string, name string) (rest []string) {
	for _, n := range names {
		if n != name {
			rest = append(rest, n)
		}
	}
	return rest
}
