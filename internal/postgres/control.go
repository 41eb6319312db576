package postgres

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pgherd/pgherd/internal/wal"
)

// ControlState is the control file's state in pg_controldata's words.
type ControlState string

// The states of a control file.
const (
	StateStartingUp         ControlState = "starting up"
	StateShutDown           ControlState = "shut down"
	StateShutDownInRecovery ControlState = "shut down in recovery"
	StateShuttingDown       ControlState = "shutting down"
	StateInCrashRecovery    ControlState = "in crash recovery"
	StateInArchiveRecovery  ControlState = "in archive recovery"
	StateInProduction       ControlState = "in production"
)

// controlStates is the enum DBState, in its order.
var controlStates = []ControlState{StateStartingUp, StateShutDown, StateShutDownInRecovery,
	StateShuttingDown, StateInCrashRecovery, StateInArchiveRecovery, StateInProduction}

// Control is what global/pg_control says.
type Control struct {
	SystemID            string // decimal
	Version             int    // of the file's format: 1300 for PostgreSQL 14–16, 1700, 1800
	Catalog             int
	State               ControlState
	Changed             time.Time // when the file was last written, whole seconds
	Checkpoint          wal.LSN   // start of the latest checkpoint record
	Redo                wal.LSN
	Timeline            wal.Timeline // of the latest checkpoint
	PreviousTimeline    wal.Timeline
	MinRecovery         wal.LSN // zero unless recovery was interrupted or goes on
	MinRecoveryTimeline wal.Timeline
	WalSegmentBytes     int64
	ChecksumVersion     int // 0: no data checksums
	Limits              Limits
}

// Limits are the settings that a standby must have at least as large as its primary,
// as the primary last had them.
type Limits struct {
	MaxConnections, MaxWorkerProcesses, MaxWalSenders, MaxPreparedTransactions, MaxLocksPerTransaction int
}

// Map gives them by their parameters' names.
func (l Limits) Map() map[string]int {
	return map[string]int{
		"max_connections": l.MaxConnections, "max_worker_processes": l.MaxWorkerProcesses, "max_wal_senders": l.MaxWalSenders,
		"max_prepared_transactions": l.MaxPreparedTransactions, "max_locks_per_transaction": l.MaxLocksPerTransaction,
	}
}

// CleanShutdown tells whether no WAL can follow: the server had ended all sessions.
func (c Control) CleanShutdown() bool {
	return c.State == StateShutDown || c.State == StateShutDownInRecovery
}

// Offsets in ControlFileData. The same in 14 to 18: 17 put wal_level into what was
// padding of the checkpoint copy, 18 put default_char_signedness after the
// checksum version, which moved only the CRC.
const (
	offSystemID      = 0
	offVersion       = 8
	offCatalog       = 12
	offState         = 16
	offTime          = 24
	offCheckpoint    = 32
	offRedo          = 40
	offTimeline      = 48
	offPrevTimeline  = 52
	offMinRecovery   = 136
	offMinRecoveryTL = 144
	offLimits        = 180 // five ints, in the order of Limits
	offSegmentBytes  = 228
	offChecksum      = 252
	offCRC1300       = 288
	offCRC1800       = 292
	controlBytesMin  = 512
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ReadControl reads the control file of dataDir itself, without a program: it is
// polled every few milliseconds during a switchover. A reader may meet a write in
// progress, so a wrong checksum is tried again before it is an error.
func ReadControl(dataDir string) (Control, error) {
	path := filepath.Join(dataDir, "global", "pg_control")
	var err error
	for range 5 {
		var data []byte
		if data, err = os.ReadFile(path); err != nil {
			return Control{}, fmt.Errorf("control file: %w", err)
		}
		var c Control
		if c, err = ParseControl(data); err == nil {
			return c, nil
		}
	}
	return Control{}, fmt.Errorf("%s: %w", path, err)
}

// ParseControl reads the bytes of global/pg_control of PostgreSQL 14 to 18, written
// by a machine of our byte order.
func ParseControl(data []byte) (Control, error) {
	if len(data) < controlBytesMin {
		return Control{}, fmt.Errorf("control file has %d bytes, want at least %d", len(data), controlBytesMin)
	}
	order := binary.NativeEndian
	version := order.Uint32(data[offVersion:])
	if version < 1300 || version > 9900 {
		return Control{}, fmt.Errorf("control file version %d is not one of PostgreSQL %d–%d on this machine", version, MajorMin, MajorTested)
	}
	if !controlChecksumRight(data, version) {
		return Control{}, fmt.Errorf("control file checksum is wrong")
	}
	state := order.Uint32(data[offState:])
	if int(state) >= len(controlStates) {
		return Control{}, fmt.Errorf("control file state %d is unknown", state)
	}
	return Control{
		SystemID:            strconv.FormatUint(order.Uint64(data[offSystemID:]), 10),
		Version:             int(version),
		Catalog:             int(order.Uint32(data[offCatalog:])),
		State:               controlStates[state],
		Changed:             time.Unix(int64(order.Uint64(data[offTime:])), 0).UTC(),
		Checkpoint:          wal.LSN(order.Uint64(data[offCheckpoint:])),
		Redo:                wal.LSN(order.Uint64(data[offRedo:])),
		Timeline:            wal.Timeline(order.Uint32(data[offTimeline:])),
		PreviousTimeline:    wal.Timeline(order.Uint32(data[offPrevTimeline:])),
		MinRecovery:         wal.LSN(order.Uint64(data[offMinRecovery:])),
		MinRecoveryTimeline: wal.Timeline(order.Uint32(data[offMinRecoveryTL:])),
		WalSegmentBytes:     int64(order.Uint32(data[offSegmentBytes:])),
		ChecksumVersion:     int(order.Uint32(data[offChecksum:])),
		Limits:              parseLimits(data[offLimits:]),
	}, nil
}

func parseLimits(data []byte) Limits {
	at := func(i int) int { return int(binary.NativeEndian.Uint32(data[4*i:])) }
	return Limits{at(0), at(1), at(2), at(3), at(4)}
}

func controlChecksumRight(data []byte, version uint32) bool {
	at := offCRC1300
	if version >= 1800 {
		at = offCRC1800
	}
	return crc32.Checksum(data[:at], castagnoli) == binary.NativeEndian.Uint32(data[at:])
}
