package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Prober commits a row of its own, by a session of its own that stays open: an open session needs
// no connection that is free, and is not let in anew by a server that cannot open its files.
//
// A call is not bounded: it ends when the server answers or its socket closes, which the end of its
// processes does. A bound would have to cancel, and a cancelled commit is acknowledged as if
// it were safe. So the caller makes one call at a time, where it may hang.
type Prober struct {
	in    Instance
	mu    sync.Mutex // of conn, for Close
	conn  *pgx.Conn
	ready bool // the table is there, by this session's knowledge
}

// NewProber prepares one; nothing is connected yet.
func NewProber(in Instance) *Prober { return &Prober{in: in} }

// The table has one row and no index: each update stays within its page, whose dead rows the
// next ones clear away. Autovacuum would start a process for it every minute.
const (
	probeTableSQL = `
CREATE SCHEMA IF NOT EXISTS pgherd;
CREATE TABLE IF NOT EXISTS pgherd.probe (n bigint NOT NULL) WITH (fillfactor = 50, autovacuum_enabled = off);
COMMENT ON TABLE pgherd.probe IS 'pgherd commits one row each second to see whether commits work';
INSERT INTO pgherd.probe SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM pgherd.probe)`
	probeSQL = "UPDATE pgherd.probe SET n = n + 1"
)

// Warm opens the session, so that it is there when it is needed. It writes nothing.
func (p *Prober) Warm() error {
	_, err := p.session()
	return err
}

// Write commits a row: it waits for this server's own disk and for no standby.
func (p *Prober) Write() error {
	conn, err := p.session()
	if err != nil {
		return err
	}
	ctx := context.Background()
	if p.ready {
		tag, err := conn.Exec(ctx, probeSQL)
		var pg *pgconn.PgError
		switch {
		case err == nil && tag.RowsAffected() == 1:
			return nil
		case err != nil && !(errors.As(err, &pg) && pg.Code == "42P01"): // somebody dropped it
			return err
		}
	}
	_, err = conn.Exec(ctx, probeTableSQL)
	if p.ready = err == nil; !p.ready {
		return err
	}
	_, err = conn.Exec(ctx, probeSQL)
	return err
}

func (p *Prober) session() (*pgx.Conn, error) {
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	if conn != nil && !conn.IsClosed() {
		return conn, nil
	}
	conn, err := dialLocal(context.Background(), p.in, "postgres", map[string]string{"application_name": "pgherd probe", "lock_timeout": "2s"})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn, p.ready = conn, false
	return conn, nil
}

// Close ends the session without a word to the server, which may be frozen.
func (p *Prober) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		_ = p.conn.PgConn().Conn().SetDeadline(time.Unix(1, 0))
		_ = p.conn.PgConn().Conn().Close()
		p.conn = nil
	}
}

// SQLState gives the server's code for an error, empty when it said none.
func SQLState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
