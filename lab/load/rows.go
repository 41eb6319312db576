//go:build lab

package load

import (
	"context"
	"fmt"
	"time"

	"github.com/pgherd/pgherd/lab/history"
)

// Rows reads what each member holds, once it has replayed all that the primary has. Call it after Stop,
// when the cluster is whole.
func (l *Load) Rows(limit time.Duration) (map[string][]history.Row, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	p, err := l.cfg.primary(ctx)
	if err != nil {
		return nil, fmt.Errorf("no primary to read from: %w", err)
	}
	defer p.close()
	if err := settled(ctx, p); err != nil {
		return nil, err
	}
	at, err := p.exec("SELECT pg_current_wal_flush_lsn()")
	if err != nil {
		return nil, err
	}
	rows := map[string][]history.Row{}
	for _, m := range l.cfg.Members {
		if rows[m.Name], err = l.cfg.rowsOn(ctx, m, at[0][0]); err != nil {
			return nil, fmt.Errorf("reading the rows of %s: %w", m.Name, err)
		}
	}
	return rows, nil
}

// settled waits until the primary has no backend of these clients any more. Statements outlive the clients
// that dropped their connections: one that commits between the reads of two members would
// look like a difference of these. A pooler keeps its own, idle.
func settled(ctx context.Context, p *conn) error {
	for {
		left, err := p.exec("SELECT count(*) FROM pg_stat_activity WHERE (application_name = 'lab' OR application_name = 'lab-endpoint' AND state <> 'idle') AND pid <> pg_backend_pid()")
		if err != nil || left[0][0] == "0" {
			return err
		}
		if time.Sleep(retryPause); ctx.Err() != nil {
			return fmt.Errorf("%s statements of clients that have gone are still under way: %w", left[0][0], ctx.Err())
		}
	}
}

func (c Config) rowsOn(ctx context.Context, m Member, lsn string) ([]history.Row, error) {
	on, err := c.connect(ctx, m)
	if err != nil {
		return nil, err
	}
	defer on.close()
	deadline, _ := ctx.Deadline()
	_ = on.raw.SetReadDeadline(deadline)
	for {
		done, err := on.exec(fmt.Sprintf("SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= '%s'", lsn))
		if err != nil {
			return nil, fmt.Errorf("waiting for %s to be replayed: %w", lsn, err)
		}
		if done[0][0] == "t" {
			break
		}
		if time.Sleep(retryPause); ctx.Err() != nil {
			return nil, fmt.Errorf("waiting for %s to be replayed: %w", lsn, ctx.Err())
		}
	}
	return on.rows()
}

func (c *conn) rows() (rows []history.Row, err error) {
	text, err := c.exec("SELECT id, 0, 0 FROM lab_rows UNION ALL SELECT 0, key, value FROM lab_registers")
	for _, row := range text {
		rows = append(rows, history.Row{ID: number(row[0]), Key: int(number(row[1])), Value: number(row[2])})
	}
	return rows, err
}
