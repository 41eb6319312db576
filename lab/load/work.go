//go:build lab

package load

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/pgherd/pgherd/lab/history"
)

const (
	registers  = 3
	retryPause = 20 * time.Millisecond // after a failed search for the primary
	lookPause  = 30 * time.Millisecond
	lostRace   = "it had another value"

	// where: on which timeline and how far in the WAL a write was made. It is evaluated after
	// the check for a read-only transaction, so that a standby refuses with 25006. The address tells
	// who it was: behind an endpoint the client cannot know.
	where = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), pg_current_wal_insert_lsn(), host(inet_server_addr())"

	tables = `DROP TABLE IF EXISTS lab_rows, lab_registers;
CREATE TABLE lab_rows (id bigint NOT NULL, worker text NOT NULL);
CREATE INDEX ON lab_rows (id);
CREATE TABLE lab_registers (key int PRIMARY KEY, value bigint NOT NULL);
INSERT INTO lab_registers SELECT k, 0 FROM generate_series(1, %d) k`
)

// createTables uses no unique index on the rows: a row that is there twice must be seen.
func (l *Load) createTables() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		c, err := l.cfg.primary(ctx)
		if err == nil {
			_, err = c.exec(fmt.Sprintf(tables, registers) + l.cfg.grant())
			c.close()
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(retryPause)
	}
}

// probe writes to one member all the time: only so would two primaries at once be seen.
func (l *Load) probe(m Member) {
	k := l.direct("probe-"+m.Name, m)
	for {
		if k.ready() {
			k.insert()
		} else {
			l.unreached(k.name, m)
		}
		if !l.pause(l.cfg.ProbeEvery) {
			return
		}
	}
}

// unreached writes down that a member was tried: nothing was sent, so that nothing happened.
func (l *Load) unreached(name string, m Member) {
	now := l.now()
	l.record(history.Op{Worker: name, Kind: history.Insert, Member: m.Name, Outcome: history.Refused, Sent: now, Done: now, ID: l.next.Add(1), Text: "no connection"})
}

// write is a routed writer: rows, and now and then one of the registers.
func (l *Load) write(name string, n int) {
	l.writeBy(l.routed(name), n)
}

func (l *Load) writeBy(k *client, n int) {
	for i := 0; ; i++ {
		pause := l.cfg.Pause
		switch {
		case !k.ready():
			pause = retryPause
		case i%4 == 3:
			k.swap(1 + (n+i/4)%registers)
		default:
			k.insert()
		}
		if !l.pause(pause) {
			return
		}
	}
}

func (k *client) insert() {
	id := k.l.next.Add(1)
	sql := fmt.Sprintf("INSERT INTO lab_rows VALUES (%d, '%s') RETURNING %s", id, k.name, where)
	k.ask(history.Op{Kind: history.Insert, ID: id}, sql, func(o *history.Op, rows [][]string) { k.l.position(o, rows[0]) })
}

// swap reads a register and changes it if nobody else was faster.
func (k *client) swap(key int) {
	get, ok := k.ask(history.Op{Kind: history.Get, Key: key}, fmt.Sprintf("SELECT value FROM lab_registers WHERE key = %d", key),
		func(o *history.Op, rows [][]string) { o.Value = number(rows[0][0]) })
	if !ok {
		return
	}
	value := k.l.next.Add(1)
	sql := fmt.Sprintf("UPDATE lab_registers SET value = %d WHERE key = %d AND value = %d RETURNING %s", value, key, get.Value, where)
	k.ask(history.Op{Kind: history.Set, Key: key, Old: get.Value, New: value}, sql, func(o *history.Op, rows [][]string) {
		if len(rows) == 0 {
			o.Outcome, o.Text = history.Refused, lostRace
			return
		}
		k.l.position(o, rows[0])
	})
}

// look reads the newest rows through the writer's endpoint.
func (l *Load) look(name string) {
	k := l.routed(name)
	sql := fmt.Sprintf("SELECT id FROM lab_rows ORDER BY id DESC LIMIT %d", history.LookRows)
	for {
		if k.ready() {
			k.ask(history.Op{Kind: history.Look}, sql, func(o *history.Op, rows [][]string) {
				for _, row := range rows {
					o.Seen = append(o.Seen, number(row[0]))
				}
			})
		}
		if !l.pause(lookPause) {
			return
		}
	}
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
