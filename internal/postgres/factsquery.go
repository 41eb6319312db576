package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// factsSQL asks for everything at once, every second, so it is made to be cheap:
// no pg_settings (1 ms of formatting; see settingsSQL), and pg_stat_activity only
// on a standby. pg_is_in_recovery() is asked once: it only ever turns false, so a
// function for primaries cannot fail after it said false.
//
// Everything here exists alike in PostgreSQL 14 to 18. What later versions added
// (slots: conflicting, inactive_since, invalidation_reason) is left out.
const factsSQL = `
WITH r AS MATERIALIZED (SELECT pg_is_in_recovery() AS standby)
SELECT json_build_object(
 'in_recovery', r.standby,
 'system_id', (SELECT system_identifier::text FROM pg_control_system()),
 'server_version', current_setting('server_version_num')::int,
 'start_time', pg_postmaster_start_time(),
 'config_loaded', pg_conf_load_time(),
 'roles', (SELECT count(*) = 3 FROM pg_roles WHERE rolname IN ('pgherd_replicator', 'pgherd_rewind', 'pgherd_pooler'))
   AND to_regprocedure('pgherd.lookup(text)') IS NOT NULL,
 'timeline', CASE WHEN r.standby
   THEN greatest((SELECT timeline_id FROM pg_control_checkpoint()), (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
   ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
 'insert_lsn', CASE WHEN NOT r.standby THEN pg_current_wal_insert_lsn() END,
 'write_lsn', CASE WHEN NOT r.standby THEN pg_current_wal_lsn() END,
 'flush_lsn', CASE WHEN NOT r.standby THEN pg_current_wal_flush_lsn() END,
 'receive_lsn', CASE WHEN r.standby THEN pg_last_wal_receive_lsn() END,
 'replay_lsn', CASE WHEN r.standby THEN pg_last_wal_replay_lsn() END,
 'replay_wait', CASE WHEN r.standby THEN (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup' LIMIT 1) END,
 'replay_paused', CASE WHEN r.standby THEN pg_get_wal_replay_pause_state() = 'paused' END,
 'replayed_at', CASE WHEN r.standby THEN pg_last_xact_replay_timestamp() END,
 'archive', current_setting('restore_command') <> '',
 'receiver', (SELECT json_build_object('status', status, 'sender_host', sender_host, 'sender_port', sender_port,
     'conninfo', conninfo, 'slot_name', slot_name, 'timeline', received_tli, 'flushed_lsn', flushed_lsn,
     'latest_end_lsn', latest_end_lsn, 'last_message', last_msg_receipt_time) FROM pg_stat_wal_receiver),
 'senders', (SELECT json_agg(json_build_object('pid', pid, 'application_name', application_name, 'user', usename,
     'client_addr', host(client_addr), 'state', state, 'sync_state', sync_state, 'sent_lsn', sent_lsn,
     'write_lsn', write_lsn, 'flush_lsn', flush_lsn, 'replay_lsn', replay_lsn) ORDER BY application_name, pid)
   FROM pg_stat_replication),
 'slots', (SELECT json_agg(json_build_object('name', slot_name, 'physical', slot_type = 'physical', 'temporary', temporary,
     'active', active, 'wal_status', wal_status, 'restart_lsn', restart_lsn, 'safe_bytes', safe_wal_size) ORDER BY slot_name)
   FROM pg_replication_slots)
) FROM r`

// settingsSQL is asked only after a start or a reload: settings change at no other time. What commits of all sessions wait
// for is read from the files: pgherd's own sessions begin with another value, which pg_settings shows them.
const settingsSQL = `
SELECT coalesce((SELECT setting FROM pg_file_settings WHERE name = 'synchronous_commit' AND applied ORDER BY seqno DESC LIMIT 1), ''),
        coalesce((SELECT json_object_agg(name, setting) FROM s WHERE name = ANY ($1)), '{}')::text,
       coalesce((SELECT json_agg(name ORDER BY name) FROM s WHERE pending_restart), '[]')::text
  FROM (SELECT 1) one`

// vitalsSQL reads the statistics of every database, which changes slowly and costs half as much as
// all facts together. (Sessions are counted by database: WAL senders have none.)
const (
	vitalsSQL = `
SELECT coalesce(sum(numbackends) FILTER (WHERE datid <> 0), 0)::int, coalesce(sum(checksum_failures), 0)::bigint,
       (SELECT coalesce(json_agg(json_build_object('role', r.rolname, 'database', d.datname, 'value', lower(split_part(c, '=', 2))) ORDER BY r.rolname, d.datname), '[]')::text
          FROM pg_db_role_setting s CROSS JOIN unnest(setconfig) c LEFT JOIN pg_roles r ON r.oid = setrole LEFT JOIN pg_database d ON d.oid = setdatabase
         WHERE c LIKE 'synchronous\_commit=%'),
       (SELECT coalesce(max(last_failed_wal) FILTER (WHERE last_failed_time > coalesce(last_archived_time, '-infinity')), '') FROM pg_stat_archiver)
  FROM pg_stat_database`
	vitalsAge = 5 * time.Second
)

// addVitals fills in what is asked every few seconds only.
func (db *DB) addVitals(ctx context.Context, c *pgx.Conn, f *Facts) error {
	if db.seen.vitalsAt.IsZero() || time.Since(db.seen.vitalsAt) > vitalsAge {
		var waits []byte
		if err := c.QueryRow(ctx, vitalsSQL).Scan(&db.seen.sessions, &db.seen.corrupt, &waits, &db.seen.unarchived); err != nil {
			return err
		}
		db.seen.waits = nil
		if err := json.Unmarshal(waits, &db.seen.waits); err != nil {
			return err
		}
		db.seen.vitalsAt = time.Now()
	}
	f.Sessions, f.Corrupt, f.Waits, f.Unarchived = db.seen.sessions, db.seen.corrupt, db.seen.waits, db.seen.unarchived
	return nil
}

// settingsSeen is the last answer to settingsSQL and what it belongs to.
type settingsSeen struct {
	loaded   time.Time
	settings map[string]string
	pending  []string

	commitWait string

	vitalsAt time.Time
	sessions int
	corrupt  int64
	waits    []CommitWait

	unarchived string
}

// Facts asks the server everything that decisions rest on.
func (db *DB) Facts(ctx context.Context) (Facts, error) {
	var f Facts
	err := db.with(ctx, func(c *pgx.Conn) error {
		var text []byte
		err := c.QueryRow(ctx, factsSQL).Scan(&text)
		if err != nil && !c.IsClosed() && ctx.Err() == nil {
			// A function for standbys fails when the promotion ends within the query.
			err = c.QueryRow(ctx, factsSQL).Scan(&text)
		}
		if err != nil {
			return err
		}
		f = Facts{}
		if err := json.Unmarshal(text, &f); err != nil {
			return err
		}
		if err := db.addSettings(ctx, c, &f); err != nil {
			return err
		}
		return db.addVitals(ctx, c, &f)
	})
	if err != nil {
		return Facts{}, fmt.Errorf("facts: %w", err)
	}
	return f, f.conclude(db.in)
}

// addSettings fills in the settings, from the last answer when nothing was loaded since.
func (db *DB) addSettings(ctx context.Context, c *pgx.Conn, f *Facts) error {
	if db.seen.settings == nil || !db.seen.loaded.Equal(f.ConfigLoaded) {
		var settings, pending []byte
		var wait string
		if err := c.QueryRow(ctx, "WITH s AS MATERIALIZED (SELECT name, setting, pending_restart FROM pg_settings) "+settingsSQL,
			FactSettings).Scan(&wait, &settings, &pending); err != nil {
			return err
		}
		seen := db.seen
		seen.loaded, seen.commitWait, seen.settings, seen.pending = f.ConfigLoaded, wait, nil, nil
		if err := json.Unmarshal(settings, &seen.settings); err != nil {
			return err
		}
		if err := json.Unmarshal(pending, &seen.pending); err != nil {
			return err
		}
		db.seen = seen
	}
	f.Settings, f.PendingRestart, f.CommitWait = db.seen.settings, db.seen.pending, db.seen.commitWait
	return nil
}

// conclude derives what the server does not say in so many words.
func (f *Facts) conclude(in Instance) error {
	if !f.InRecovery {
		return nil
	}
	f.ReplayAtEnd = f.ReplayLSN != 0 && f.ReceiveLSN != 0 && f.ReplayLSN >= f.ReceiveLSN ||
		f.ReplayWait == "RecoveryWalStream" || f.ReplayWait == "RecoveryRetrieveRetryInterval"
	if f.Receiver != nil {
		f.Timeline = max(f.Timeline, f.Receiver.Timeline)
		return nil
	}
	onDisk, err := TimelineOnDisk(in.DataDir, max(f.ReceiveLSN, f.ReplayLSN))
	if err != nil {
		return fmt.Errorf("facts: %w", err)
	}
	f.Timeline = max(f.Timeline, onDisk)
	return nil
}
