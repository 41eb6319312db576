package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DB is the superuser's way into a running server, over the unix socket by OS
// user. One session is kept open, so that it is there when max_connections is
// used up; it comes back by itself. Every call is bounded by its ctx. Work that may
// last (a checkpoint, counting bytes) gets a session of its own, so that Facts is
// never behind it. Safe for concurrent use.
type DB struct {
	in   Instance
	turn chan struct{} // holds one token: who has it owns conn and cache
	conn *pgx.Conn
	seen settingsSeen
}

// Open prepares a DB; nothing is connected yet.
func Open(in Instance) *DB {
	db := &DB{in: in, turn: make(chan struct{}, 1)}
	db.turn <- struct{}{}
	return db
}

// Close ends the kept session.
func (db *DB) Close() {
	<-db.turn
	db.drop()
	db.turn <- struct{}{}
}

// drop forgets the kept session; the caller has the turn.
func (db *DB) drop() {
	if db.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_ = db.conn.Close(ctx)
		cancel()
	}
	db.conn, db.seen = nil, settingsSeen{}
}

func (db *DB) dial(ctx context.Context) (*pgx.Conn, error) { return db.dialTo(ctx, "postgres") }

func (db *DB) dialTo(ctx context.Context, database string) (*pgx.Conn, error) {
	return dialLocal(ctx, db.in, database, nil)
}

// dialLocal opens a superuser's session, with settings of its own besides those of all.
func dialLocal(ctx context.Context, in Instance, database string, own map[string]string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable passfile=/dev/null",
		quoteConnInfo(in.SocketDir), in.Port, quoteConnInfo(in.superuser()), quoteConnInfo(database)))
	if err != nil {
		return nil, fmt.Errorf("local PostgreSQL: %w", err)
	}
	cfg.Fallbacks = nil
	cfg.RuntimeParams = map[string]string{
		"application_name": "pgherd", "search_path": "pg_catalog", "jit": "off",
		// Limits an administrator set for applications must not end our session.
		"statement_timeout": "0", "lock_timeout": "0", "idle_session_timeout": "0",
		"default_transaction_read_only": "off", "default_transaction_isolation": "read committed",
		// Our own few writes must never wait for a standby: they are repeated when lost.
		"synchronous_commit": "local",
	}
	maps.Copy(cfg.RuntimeParams, own)
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("local PostgreSQL: %w", err)
	}
	return conn, nil
}

// with runs f on the kept session. The session is dropped after a failure that
// leaves it in doubt.
func (db *DB) with(ctx context.Context, f func(*pgx.Conn) error) error {
	select {
	case <-db.turn:
	case <-ctx.Done():
		return fmt.Errorf("local PostgreSQL: session busy: %w", context.Cause(ctx))
	}
	defer func() { db.turn <- struct{}{} }()
	if db.conn != nil && db.conn.IsClosed() {
		db.drop()
	}
	kept := db.conn != nil
	if err := db.ensure(ctx); err != nil {
		return err
	}
	err := f(db.conn)
	// A kept session that the server ended (restart, crash of a backend) says so only
	// when it is used. Try again once, if nothing of the request reached the server.
	if kept && err != nil && db.conn.IsClosed() && pgconn.SafeToRetry(err) {
		if err := db.ensure(ctx); err != nil {
			return err
		}
		err = f(db.conn)
	}
	if db.conn.IsClosed() {
		db.drop()
	}
	return err
}

func (db *DB) ensure(ctx context.Context) error {
	if db.conn != nil && !db.conn.IsClosed() {
		return nil
	}
	db.drop()
	conn, err := db.dial(ctx)
	db.conn = conn
	return err
}

// apart runs f on a session of its own.
func (db *DB) apart(ctx context.Context, f func(*pgx.Conn) error) error {
	conn, err := db.dial(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = conn.Close(closeCtx)
		cancel()
	}()
	return f(conn)
}

func (db *DB) exec(ctx context.Context, what, sql string, args ...any) error {
	return db.with(ctx, func(c *pgx.Conn) error {
		if _, err := c.Exec(ctx, sql, args...); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// WakeRecovery wakes the startup process from whatever it waits for, by the signal that has it read its configuration again. It
// says whether there was one.
func (db *DB) WakeRecovery(ctx context.Context) (there bool, err error) {
	var pid int
	err = db.with(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'").Scan(&pid)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("startup process: %w", err)
	}
	return true, syscall.Kill(pid, syscall.SIGHUP)
}

// Promote asks a standby to become primary and does not wait: the server's state
// in Facts tells when it did.
func (db *DB) Promote(ctx context.Context) error {
	err := db.exec(ctx, "promote", "SELECT pg_promote(false)")
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "55000" { // recovery is not in progress: it is promoted already
		return nil
	}
	return err
}

// Checkpoint runs CHECKPOINT on a session of its own and waits for it.
func (db *DB) Checkpoint(ctx context.Context) error {
	return db.apart(ctx, func(c *pgx.Conn) error {
		if _, err := c.Exec(ctx, "CHECKPOINT"); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		return nil
	})
}

// Reload makes the server read its configuration again. A file with errors is
// ignored by the server as a whole; see ConfigErrors.
func (db *DB) Reload(ctx context.Context) error {
	return db.exec(ctx, "reload", "SELECT pg_reload_conf()")
}

// ConfigErrors gives what is wrong in the configuration files as they stand now
// (settings, hba and ident lines), one line each, nil when nothing is.
func (db *DB) ConfigErrors(ctx context.Context) (found []string, err error) {
	err = db.apart(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `
SELECT format('%s:%s: %s: %s', sourcefile, sourceline, name, error) FROM pg_file_settings
 WHERE error IS NOT NULL AND error <> 'setting could not be applied'
UNION ALL SELECT format('pg_hba line %s: %s', line_number, error) FROM pg_hba_file_rules WHERE error IS NOT NULL`)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("configuration errors: %w", err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found, nil
}

// DatabaseBytes is the size of all databases.
func (db *DB) DatabaseBytes(ctx context.Context) (bytes int64, err error) {
	err = db.apart(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, databaseBytesSQL).Scan(&bytes)
	})
	if err != nil {
		return 0, fmt.Errorf("database size: %w", err)
	}
	return bytes, nil
}

const databaseBytesSQL = "SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database"

// SocketPath is the unix socket's file.
func (in Instance) SocketPath() string {
	return in.SocketDir + "/.s.PGSQL." + strconv.Itoa(in.Port)
}
