package postgres

import (
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/wal"
)

// Facts is what a running server says of itself, all of one moment but for the
// replication of other processes. LSNs are 0 and timelines 0 where not known.
type Facts struct {
	InRecovery    bool      `json:"in_recovery"`
	SystemID      string    `json:"system_id"`
	ServerVersion int       `json:"server_version"` // 150014 for 15.14
	StartTime     time.Time `json:"start_time"`     // of the postmaster
	// Timeline is, on a primary, the one it writes; on a standby the newest one of
	// which it holds WAL.
	Timeline wal.Timeline `json:"timeline"`

	// Primary only. Insert ≥ Write ≥ Flush; only flushed WAL survives a crash.
	InsertLSN wal.LSN `json:"insert_lsn"`
	WriteLSN  wal.LSN `json:"write_lsn"`
	FlushLSN  wal.LSN `json:"flush_lsn"`

	// Standby only. ReceiveLSN is what the WAL receiver flushed since the server
	// started; it is 0 before the first stream and falls back to the beginning of a
	// segment when streaming starts anew, so it may be behind ReplayLSN: see Held.
	ReceiveLSN wal.LSN `json:"receive_lsn"`
	ReplayLSN  wal.LSN `json:"replay_lsn"`
	// ReplayAtEnd: all WAL there is has been replayed. It is a positive sign, not
	// "the LSN stopped moving", but final only while the WAL receiver is off.
	ReplayAtEnd  bool       `json:"replay_at_end"`
	ReplayPaused bool       `json:"replay_paused"`
	ReplayedAt   *time.Time `json:"replayed_at"` // commit time of the last transaction replayed; nil: none since the start
	ReplayWait   string     `json:"replay_wait"` // what the startup process waits for, by pg_stat_activity

	Archive bool `json:"archive"` // restore_command is set

	// Roles: pgherd's own roles exist, and what poolers ask (see EnsureRoles).
	Roles bool `json:"roles"`

	Receiver *Receiver `json:"receiver"` // nil: no WAL receiver runs
	Senders  []Sender  `json:"senders"`
	Slots    []Slot    `json:"slots"`

	// PendingRestart names the settings that changed but need a restart.
	PendingRestart []string `json:"pending_restart"`
	// Settings are current values, in the unit of pg_settings, of FactSettings.
	Settings map[string]string `json:"settings"`
	// What is asked now and then only: see vitalsSQL.
	Sessions int   `json:"-"` // connected to databases
	Corrupt  int64 `json:"-"` // pages with a wrong checksum, as the statistics have it
	// What commits wait for: synchronous_commit for all sessions as the files have it, "" where none does, and for those of
	// some roles and databases. What a session sets for itself nobody sees.
	CommitWait string       `json:"-"`
	Waits      []CommitWait `json:"-"`
	// Unarchived is the file of WAL that archiving failed with last, if nothing has succeeded since.
	Unarchived string `json:"-"`
	// ConfigLoaded is when the server's configuration was last read.
	ConfigLoaded time.Time `json:"config_loaded"`
}

// CommitWait is ALTER ROLE or ALTER DATABASE ... SET synchronous_commit. One of the names may be empty.
type CommitWait struct {
	Role     string `json:"role"`
	Database string `json:"database"`
	Value    string `json:"value"` // lower case
}

// Guards says that a commit under this value of synchronous_commit waits for standbys.
func Guards(value string) bool {
	switch strings.ToLower(value) {
	case "", "on", "remote_apply", "true", "yes", "1":
		return true
	}
	return false
}

// Held is how far the server's own WAL reaches for sure: a primary's flushed WAL, or
// on a standby the further of received and replayed.
func (f Facts) Held() wal.Position {
	if !f.InRecovery {
		return wal.Position{Timeline: f.Timeline, LSN: f.FlushLSN}
	}
	return wal.Position{Timeline: f.Timeline, LSN: max(f.ReceiveLSN, f.ReplayLSN)}
}

// Setting gives a current value, "" when not known.
func (f Facts) Setting(name string) string { return f.Settings[name] }

// Receiver is pg_stat_wal_receiver.
type Receiver struct {
	Status       string       `json:"status"` // starting, streaming, waiting, restarting, stopping
	SenderHost   string       `json:"sender_host"`
	SenderPort   int          `json:"sender_port"`
	ConnInfo     string       `json:"conninfo"` // as used; without secrets
	SlotName     string       `json:"slot_name"`
	Timeline     wal.Timeline `json:"timeline"`
	FlushedLSN   wal.LSN      `json:"flushed_lsn"`
	LatestEndLSN wal.LSN      `json:"latest_end_lsn"` // what the sender last said it has
	LastMessage  *time.Time   `json:"last_message"`
}

// Sender is a row of pg_stat_replication.
type Sender struct {
	Pid             int     `json:"pid"`
	ApplicationName string  `json:"application_name"`
	User            string  `json:"user"`
	ClientAddr      string  `json:"client_addr"`
	State           string  `json:"state"`      // startup, catchup, streaming, backup, stopping
	SyncState       string  `json:"sync_state"` // async, potential, sync, quorum
	SentLSN         wal.LSN `json:"sent_lsn"`
	WriteLSN        wal.LSN `json:"write_lsn"`
	FlushLSN        wal.LSN `json:"flush_lsn"`
	ReplayLSN       wal.LSN `json:"replay_lsn"`
}

// Slot is a row of pg_replication_slots.
type Slot struct {
	Name      string  `json:"name"`
	Physical  bool    `json:"physical"`
	Temporary bool    `json:"temporary"`
	Active    bool    `json:"active"`
	WalStatus string  `json:"wal_status"` // reserved, extended, unreserved, lost; "" when it keeps nothing
	Restart   wal.LSN `json:"restart_lsn"`
	SafeBytes *int64  `json:"safe_bytes"` // WAL that may still be written before it is lost; nil: no limit
}

// FactSettings are the settings whose current values Facts carries: those that a
// standby must have at least as large as its primary, and those pgherd steers.
var FactSettings = []string{
	"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions",
	"max_locks_per_transaction", "max_replication_slots", "wal_level", "wal_segment_size",
	"synchronous_standby_names", "synchronous_commit", "primary_conninfo", "primary_slot_name",
	"listen_addresses", "port", "fsync", "full_page_writes", "wal_log_hints", "data_checksums",
	"superuser_reserved_connections", "reserved_connections", "ssl", "cluster_name", "hot_standby", "hot_standby_feedback",
}
