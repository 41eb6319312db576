package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Notify sends a notification in every database that takes connections: it reaches nobody in another one.
// What is not sent when ctx ends is not sent; databases that fail hold up none of the others.
func (db *DB) Notify(ctx context.Context, channel, payload string) error {
	var databases []string
	err := db.apart(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname")
		if err != nil {
			return err
		}
		databases, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	var failed []error
	for _, name := range databases {
		if err := db.notifyIn(ctx, name, channel, payload); err != nil {
			failed = append(failed, fmt.Errorf("notify in database %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

func (db *DB) notifyIn(ctx context.Context, database, channel, payload string) error {
	conn, err := db.dialTo(ctx, database)
	if err != nil {
		return err
	}
	defer closeSoon(conn)
	_, err = conn.Exec(ctx, "SELECT pg_notify($1, $2)", channel, payload)
	return err
}
