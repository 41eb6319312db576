package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgherd/pgherd/internal/wal"
)

// ControlFull is what pg_controldata prints.
type ControlFull struct {
	State               ControlState
	SystemID            string
	Timeline            wal.Timeline // of the latest checkpoint
	MinRecovery         wal.LSN
	MinRecoveryTimeline wal.Timeline
	WalLevel            string
	WalLogHints         bool
	ChecksumVersion     int // 0: no data checksums
	// Settings that a standby must have at least as large as the primary, as the
	// server last recorded them: max_connections, max_worker_processes,
	// max_wal_senders, max_prepared_transactions (as in postgresql.conf), max_locks_per_transaction.
	Settings map[string]int
	Fields   map[string]string // every line, by pg_controldata's own label
}

// orderedSettings maps pg_controldata's labels to the parameters they stand for.
var orderedSettings = map[string]string{
	"max_connections setting":      "max_connections",
	"max_worker_processes setting": "max_worker_processes",
	"max_wal_senders setting":      "max_wal_senders",
	"max_prepared_xacts setting":   "max_prepared_transactions",
	"max_locks_per_xact setting":   "max_locks_per_transaction",
}

// ReadControlFull runs pg_controldata.
func ReadControlFull(ctx context.Context, in Instance) (ControlFull, error) {
	out, err := output(ctx, in.bin("pg_controldata"), "-D", in.DataDir)
	if err != nil {
		return ControlFull{}, err
	}
	return parseControlData(out)
}

func parseControlData(text string) (ControlFull, error) {
	c := ControlFull{Settings: map[string]int{}, Fields: map[string]string{}}
	for line := range strings.Lines(text) {
		if label, value, ok := strings.Cut(line, ":"); ok {
			c.Fields[label] = strings.TrimSpace(value)
		}
	}
	c.State = ControlState(c.Fields["Database cluster state"])
	c.SystemID = c.Fields["Database system identifier"]
	if c.State == "" || c.SystemID == "" {
		return ControlFull{}, fmt.Errorf("pg_controldata printed no state or no system identifier")
	}
	c.WalLevel = c.Fields["wal_level setting"]
	c.WalLogHints = c.Fields["wal_log_hints setting"] == "on"
	var err error
	if c.MinRecovery, err = wal.ParseLSN(c.Fields["Minimum recovery ending location"]); err != nil {
		return ControlFull{}, fmt.Errorf("pg_controldata: %w", err)
	}
	c.Timeline = wal.Timeline(c.number("Latest checkpoint's TimeLineID"))
	c.MinRecoveryTimeline = wal.Timeline(c.number("Min recovery ending loc's timeline"))
	c.ChecksumVersion = c.number("Data page checksum version")
	for label, name := range orderedSettings {
		if _, ok := c.Fields[label]; ok {
			c.Settings[name] = c.number(label)
		}
	}
	return c, nil
}

// number is 0 for a line that is missing or not a number; what matters is checked
// by parseControlData itself.
func (c ControlFull) number(label string) int {
	n, _ := strconv.ParseUint(c.Fields[label], 10, 32)
	return int(n)
}
