package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgherd/pgherd/internal/wal"
)

// RecoveryProbe is one open session on a member's server, over TLS by node certificate, that tells whether the
// server accepts writes. An open session answers in a fraction of a millisecond, survives a promotion, and
// its end is known at once. Not safe for concurrent use.
type RecoveryProbe struct{ conn *pgx.Conn }

// Recovery is one answer.
type Recovery struct {
	Writes bool    // it is not in recovery
	LSN    wal.LSN // flushed by a primary, replayed by a standby; 0: not known
}

// One round trip. Recovery ends at most once, so that the second call may only see more than the first.
const recoverySQL = `
SELECT r, (CASE WHEN r THEN pg_last_wal_replay_lsn() WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END)::text
  FROM pg_is_in_recovery() r`

// OpenRecoveryProbe connects as the poolers' role, bounded by ctx.
func OpenRecoveryProbe(ctx context.Context, s Source) (*RecoveryProbe, error) {
	conn, err := s.connectAs(ctx, RolePooler)
	if err != nil {
		return nil, err
	}
	return &RecoveryProbe{conn}, nil
}

// Look asks once. When ctx ends first the session is lost.
func (p *RecoveryProbe) Look(ctx context.Context) (Recovery, error) {
	var in bool
	var text *string
	if err := p.conn.QueryRow(ctx, recoverySQL).Scan(&in, &text); err != nil {
		return Recovery{}, fmt.Errorf("is in recovery: %w", err)
	}
	r := Recovery{Writes: !in}
	if text == nil {
		return r, nil
	}
	lsn, err := wal.ParseLSN(*text)
	r.LSN = lsn
	return r, err
}

// Wait returns nil when ctx ends, and an error as soon as the server, or the way to it, ends the session.
func (p *RecoveryProbe) Wait(ctx context.Context) error {
	for ctx.Err() == nil {
		if _, err := p.conn.WaitForNotification(ctx); err != nil && (ctx.Err() == nil || p.conn.IsClosed()) {
			return fmt.Errorf("session ended: %w", err)
		}
	}
	return nil
}

// Close ends the session without waiting for the server, which may be frozen.
func (p *RecoveryProbe) Close() {
	_ = p.conn.PgConn().Conn().SetDeadline(time.Unix(1, 0))
	_ = p.conn.PgConn().Conn().Close()
}

// Brief is what an attempt to connect came to, without where to and as whom: the innermost reason.
func Brief(err error) string {
	var pg *pgconn.PgError
	var op *net.OpError
	switch {
	case errors.As(err, &pg):
		return pg.Message
	case Late(err):
		return "no answer in time"
	case errors.As(err, &op) && op.Err != nil:
		return strings.TrimPrefix(op.Err.Error(), "connect: ")
	}
	return err.Error()
}

// NoRoom says that a server is up and had no connection to spare: it says nothing of its role.
func NoRoom(err error) bool { return SQLState(err) == "53300" }

// Late says that an answer did not come in time.
func Late(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
