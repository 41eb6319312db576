package core

import (
	"fmt"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

// View is everything that may influence a decision, gathered once per tick.
type View struct {
	Now     Instant   `json:"now"`
	Wall    int64     `json:"wall,omitempty"` // ms since 1970, for what people plan by the clock; it may jump
	Self    string    `json:"self"`
	Ordinal int       `json:"ordinal"` // of this member's own identity; another one in the store is another member of our name
	Store   StoreView `json:"store"`
	Local   Local     `json:"local"`
	Peers   []Peer    `json:"peers"` // every other member of Store.Members, sorted by name

	Failed StepFailure `json:"failed,omitzero"` // the last step that failed and has not succeeded since

	Stopping bool `json:"stopping,omitempty"` // the agent was told to end: hand over or stop PostgreSQL
}

// StepFailure is a step that act could not carry out.
type StepFailure struct {
	Kind StepKind `json:"kind,omitempty"`
	Text string   `json:"text,omitempty"`
	At   Instant  `json:"at,omitempty"`
}

// StoreView is the newest snapshot of the store. Observations are monotonic: a reply
// with an older revision than one already seen never gets here.
type StoreView struct {
	Known  bool    `json:"known"`   // a snapshot was read since this agent started
	ReadAt Instant `json:"read_at"` // send time of the newest successful read
	Err    string  `json:"err,omitempty"`

	Cluster           ClusterRecord  `json:"cluster"`
	ClusterRevision   int64          `json:"cluster_revision"`
	Spec              spec.Cluster   `json:"spec"`
	SpecRevision      int64          `json:"spec_revision"`
	Lease             LeaseRecord    `json:"lease"`
	LeaseRevision     int64          `json:"lease_revision"`        // 0: no lease was ever taken
	LeaseSeenAt       Instant        `json:"lease_seen_at"`         // when this agent first saw this revision
	LeaseFirst        bool           `json:"lease_first,omitempty"` // it has not changed since this agent started: nobody may renew it any more
	Members           []MemberRecord `json:"members"`               // sorted by ordinal
	Operation         *Operation     `json:"operation,omitempty"`
	OperationRevision int64          `json:"operation_revision"`
	OperationSeenAt   Instant        `json:"operation_seen_at"`  // when this agent first saw this operation's ID, and that it is due
	PhaseSeenAt       Instant        `json:"phase_seen_at"`      // and its phase
	Drained           []string       `json:"drained,omitempty"`  // members that are to have no role; their tags say so
	Request           *Request       `json:"request,omitempty"`  // for this member
	Requests          []string       `json:"requests,omitempty"` // members with an open request
	Removals          []Removal      `json:"removals,omitempty"` // for this member, sorted by id
	Poolers           []Pooler       `json:"poolers,omitempty"`  // sorted by name
	Paused            bool           `json:"paused,omitempty"`

	// RenewedTerm and RenewedAt are this agent's own last successful lease write: its
	// term and its SEND time, the only time from which trust may be counted.
	RenewedTerm uint64  `json:"renewed_term"`
	RenewedAt   Instant `json:"renewed_at"`

	// The last time that every other member vouched for our lease: its term and the time from
	// before the first was asked. And the last time that they were asked, with what came of it.
	VouchedTerm uint64  `json:"vouched_term,omitempty"`
	VouchedAt   Instant `json:"vouched_at,omitempty"`
	VouchAsked  Instant `json:"vouch_asked,omitempty"`
	VouchErr    string  `json:"vouch_err,omitempty"`
}

// Pooler is a pair of endpoints as it described itself last.
type Pooler struct {
	PoolerRecord
	Revision int64   `json:"revision"`
	SeenAt   Instant `json:"seen_at"` // when this agent first saw this revision
}

// Gone says that the pooler has been silent for too long to be waited for.
func (p Pooler) Gone(now Instant) bool { return now.Sub(p.SeenAt) > PoolerGone }

// TrustedFrom is the send time from which the newest known lease is trusted, if it is our own.
func (s StoreView) TrustedFrom() (sent Instant) {
	if s.RenewedTerm == s.Lease.Term {
		sent = s.RenewedAt
	}
	if s.VouchedTerm == s.Lease.Term && sent != 0 {
		sent = max(sent, s.VouchedAt)
	}
	return sent
}

// Local is what is known about this member's own server.
type Local struct {
	ReadAt   Instant           `json:"read_at"` // when the read began that gave Instance; Warden and Job are of now
	Warden   Warden            `json:"warden"`
	Data     Data              `json:"data"`
	Instance Instance          `json:"instance"`
	ConfKey  string            `json:"conf_key,omitempty"` // Conf.Key of what was last rendered; empty after an agent start
	Held     bool              `json:"held,omitempty"`     // the rendered access rules keep clients out
	Good     map[string]string `json:"good,omitempty"`     // parameters under which PostgreSQL last came up
	Probe    Probe             `json:"probe,omitzero"`     // commits of our own to a primary
	Disk     Disk              `json:"disk,omitzero"`
	Job      Job               `json:"job"`
	Kept     Kept              `json:"kept,omitzero"`
}

// Kept is the evidence on this member of histories that were given up.
type Kept struct {
	Newest  string   `json:"newest,omitempty"`  // id of the newest saved fork
	Count   int      `json:"count,omitempty"`   // of saved forks
	Text    string   `json:"text,omitempty"`    // what it holds, for people
	Named   bool     `json:"named,omitempty"`   // Text names tables
	Overdue []string `json:"overdue,omitempty"` // ids of what is kept longer than the spec asks for
}

// Probe is what small writes tell that are made one at a time, each when the last has come back.
type Probe struct {
	OKAt    Instant       `json:"ok_at,omitempty"` // when the last that succeeded was sent
	Took    time.Duration `json:"took,omitempty"`  // those that succeeded, the last ones counting most
	Since   Instant       `json:"since,omitempty"` // when the first was sent that none has succeeded after; 0: nothing is open
	Pending bool          `json:"pending,omitempty"`
	Err     string        `json:"err,omitempty"`  // of the last one that ended; empty when it succeeded
	Code    string        `json:"code,omitempty"` // its SQLSTATE
}

// Open is for how long no write has succeeded.
func (p Probe) Open(now Instant) time.Duration {
	if p.Since == 0 {
		return 0
	}
	return now.Sub(p.Since)
}

// Disk is what the agent learns of the volumes itself, without PostgreSQL.
type Disk struct {
	Test    Probe `json:"test,omitzero"` // a small file written and flushed beside the WAL, then beside the data
	Data    Room  `json:"data,omitzero"`
	WAL     Room  `json:"wal,omitzero"`
	State   Room  `json:"state,omitzero"`    // where the share of the store, the journal and saved forks are, if on a volume of its own
	Segment int64 `json:"segment,omitempty"` // bytes of a file of WAL
}

// scarce: little is left of a volume: a twentieth, but no more than 64 and no less than 4 segments.
func (k Disk) scarce(r Room) bool {
	return r.Size != 0 && r.Free < max(4*k.Segment, min(r.Size/20, 64*k.Segment))
}

// Room is a file system's space in bytes; a Size of 0 is not known.
type Room struct {
	Free int64 `json:"free,omitempty"`
	Size int64 `json:"size,omitempty"`
}

// Warden is the state of postgres' parent. Empty is only meaningful when Alive.
type Warden struct {
	Alive    bool    `json:"alive"`
	Empty    bool    `json:"empty"`    // no process of the instance is left
	Deadline Instant `json:"deadline"` // 0: disarmed
	Term     uint64  `json:"term"`
	Fenced   bool    `json:"fenced"`
	ExitedAt Instant `json:"exited_at,omitempty"` // last end of a postmaster
	ExitText string  `json:"exit_text,omitempty"` // why, in words; empty after a clean stop

	Watchdog Watchdog `json:"watchdog,omitzero"`
}

// Watchdog is the hardware watchdog that the warden feeds. The zero value is none, and none asked for.
type Watchdog struct {
	Required bool          `json:"required,omitempty"` // without it this member must not lead
	State    WatchdogState `json:"state,omitempty"`
	Text     string        `json:"text,omitempty"`    // what is wrong, for people
	Timeout  time.Duration `json:"timeout,omitempty"` // in force; of one that does not count the shortest it can have, 0 where that is not known
}

// WatchdogState is what became of the device.
type WatchdogState string

// Watchdog states.
const (
	WatchdogOff         WatchdogState = ""
	WatchdogAbsent      WatchdogState = "absent"      // there is no such device
	WatchdogUnavailable WatchdogState = "unavailable" // there is, and it cannot be used
	WatchdogReady       WatchdogState = "ready"       // it was opened for a moment, and does not count
	WatchdogActive      WatchdogState = "active"      // it counts, and is fed
)

// DataState classifies the data directory.
type DataState string

// Data directory states. A failed read is DataUnknown, never DataAbsent: absence is
// what permits creating something.
const (
	DataUnknown   DataState = "unknown"
	DataAbsent    DataState = "absent"    // missing or empty
	DataForeign   DataState = "foreign"   // not empty and not a data directory, or one without our mark
	DataUnmounted DataState = "unmounted" // it was on a volume that is not mounted now
	DataBroken    DataState = "broken"    // an interrupted rewind: never started again, only replaced by a clone
	DataPresent   DataState = "present"
)

// Data is the data directory with its identity mark.
type Data struct {
	State     DataState `json:"state"`
	ClusterID string    `json:"cluster_id,omitempty"`
	SystemID  string    `json:"system_id,omitempty"`
	Text      string    `json:"text,omitempty"` // what is wrong, for people
}

// InstanceState is what PostgreSQL is doing.
type InstanceState string

// Instance states.
const (
	StateUnknown  InstanceState = "unknown"  // processes exist, no answer
	StateStopped  InstanceState = "stopped"  // no process
	StateStarting InstanceState = "starting" // recovering, not yet open
	StateRunning  InstanceState = "running"
	StateStopping InstanceState = "stopping" // the control file or the server says so
)

// Instance is one PostgreSQL server's facts; members send it to each other.
type Instance struct {
	State     InstanceState `json:"state"`
	Primary   bool          `json:"primary"` // running and not in recovery
	SystemID  string        `json:"system_id,omitempty"`
	StartedAt int64         `json:"started_at,omitempty"` // postmaster's start, ms since 1970; an identity, never compared with a clock

	Timeline    wal.Timeline `json:"timeline,omitempty"`
	WriteLSN    wal.LSN      `json:"write_lsn,omitempty"`    // primary: flushed
	ReceivedLSN wal.LSN      `json:"received_lsn,omitempty"` // standby: flushed by the receiver or replayed, the greater
	ReplayLSN   wal.LSN      `json:"replay_lsn,omitempty"`
	ReplayDone  bool         `json:"replay_done,omitempty"` // a positive sign that all received WAL is replayed
	Receiver    bool         `json:"receiver,omitempty"`    // a WAL receiver process exists
	Streaming   bool         `json:"streaming,omitempty"`   // and it streams
	Follows     string       `json:"follows,omitempty"`     // member configured as source

	Control            string       `json:"control,omitempty"` // pg_control's state, e.g. "shut down"
	Checkpoint         wal.LSN      `json:"checkpoint,omitempty"`
	CheckpointTimeline wal.Timeline `json:"checkpoint_timeline,omitempty"`
	LastRecord         wal.LSN      `json:"last_record,omitempty"`  // stopped: start of the last valid record; 0 unknown. Starting: what it was
	RedoLSN            wal.LSN      `json:"redo_lsn,omitempty"`     // where crash recovery begins
	RecoveryLSN        wal.LSN      `json:"recovery_lsn,omitempty"` // starting: how far it has come, to a segment
	OldestWAL          wal.LSN      `json:"oldest_wal,omitempty"`
	History            wal.History  `json:"history,omitempty"` // of Timeline

	SyncNames []string `json:"sync_names,omitempty"` // in effect, sorted
	SyncK     int      `json:"sync_k,omitempty"`
	Unguarded []string `json:"unguarded,omitempty"` // whose commits wait for nobody all the same, and by which synchronous_commit
	Senders   []Sender `json:"senders,omitempty"`
	Slots     []Slot   `json:"slots,omitempty"`
	Roles     bool     `json:"roles,omitempty"` // pgherd's roles exist

	Sessions    int    `json:"sessions,omitempty"`     // connected to databases
	SessionsMax int    `json:"sessions_max,omitempty"` // those that are not reserved
	Unarchived  string `json:"unarchived,omitempty"`   // the file of WAL that archiving fails with
	Corrupt     int64  `json:"corrupt,omitempty"`      // pages whose checksum was wrong, as the statistics have it

	Pending       []string       `json:"pending,omitempty"`        // settings that wait for a restart
	Limits        map[string]int `json:"limits,omitempty"`         // ordered settings in effect (max_connections, ...)
	PrimaryLimits map[string]int `json:"primary_limits,omitempty"` // the same as pg_control has them from the primary
}

// Position is how far the instance's history reaches.
func (i Instance) Position() wal.Position {
	if i.Primary {
		return wal.Position{Timeline: i.Timeline, LSN: i.WriteLSN}
	}
	return wal.Position{Timeline: i.Timeline, LSN: max(i.ReceivedLSN, i.ReplayLSN)}
}

// confirmed is up to where as many of the set as it asks for have flushed; 0: nowhere.
func (i Instance) confirmed(set SyncSet) wal.LSN {
	flushed := make([]wal.LSN, len(set.Members))
	for n, name := range set.Members {
		s, _ := find(i.Senders, func(s Sender) bool { return s.Member == name })
		flushed[n] = s.FlushLSN
	}
	slices.Sort(flushed)
	if at := len(flushed) - set.K; at >= 0 && at < len(flushed) {
		return flushed[at]
	}
	return 0
}

// recoveryBytesPerSecond is what recovery does at least, on disks that one would give to a
// database: measured rates are three times that and more.
const recoveryBytesPerSecond = 16 << 20

// recoveryTime is how long a start should take for what it has to replay.
func (i Instance) recoveryTime() time.Duration {
	return time.Duration(max(0, i.LastRecord.Sub(i.RedoLSN))) * time.Second / recoveryBytesPerSecond
}

// recoveryText says what there is to replay, and how far it has come.
func (i Instance) recoveryText(waited time.Duration) string {
	if i.RedoLSN == 0 || i.LastRecord < i.RedoLSN {
		return ""
	}
	text := fmt.Sprintf("; %d bytes of WAL are to be replayed from %s on", i.LastRecord.Sub(i.RedoLSN), i.RedoLSN)
	if i.RecoveryLSN > i.RedoLSN && waited > 0 {
		text += fmt.Sprintf(", %d are done after %s", i.RecoveryLSN.Sub(i.RedoLSN), waited.Round(time.Second))
	}
	return text
}

// Standby says that the instance runs in recovery.
func (i Instance) Standby() bool { return i.State == StateRunning && !i.Primary }

// Sender is one WAL sender of a member.
type Sender struct {
	Member    string  `json:"member"`
	Streaming bool    `json:"streaming"`
	FlushLSN  wal.LSN `json:"flush_lsn"`
	ReplayLSN wal.LSN `json:"replay_lsn"`
}

// Slot is one physical slot with pgherd's prefix.
type Slot struct {
	Name   string `json:"name"`
	Active bool   `json:"active"`
	Lost   bool   `json:"lost"` // its WAL is gone
}

// Job is the long work of this member, running or last ended.
type Job struct {
	Kind    string  `json:"kind,omitempty"` // a StepKind
	ID      string  `json:"id,omitempty"`
	Running bool    `json:"running,omitempty"`
	Err     string  `json:"err,omitempty"`
	EndedAt Instant `json:"ended_at,omitempty"`
	Code    Code    `json:"code,omitempty"` // the condition that Err is, when it is a particular one
	Percent int     `json:"percent,omitempty"`
	Text    string  `json:"text,omitempty"`
}

// Peer is what another member said of itself.
type Peer struct {
	Name      string        `json:"name"`
	Known     bool          `json:"known"` // it has answered since this agent started
	Age       time.Duration `json:"age"`   // since the newest answer was asked for
	Err       string        `json:"err,omitempty"`
	Instance  Instance      `json:"instance"`
	Job       Job           `json:"job"`
	Term      uint64        `json:"term"`                // newest term it has seen
	Beat      uint64        `json:"beat,omitempty"`      // Report.Beat
	Vacant    bool          `json:"vacant"`              // it judged the lease of (Term, Beat) vacant and its receiver stopped for good
	Stopping  bool          `json:"stopping,omitempty"`  // its agent was told to end
	Rejected  bool          `json:"rejected"`            // it fell back to its last good parameters
	Unwatched bool          `json:"unwatched,omitempty"` // Report.Unwatched
	Unwell    bool          `json:"unwell,omitempty"`    // Report.Unwell
}
