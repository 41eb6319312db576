package core

import (
	"cmp"
	"fmt"
	"strings"
)

// Code names a reason or a condition. Codes are stable: scripts match on them.
type Code string

// Reason says why something was done, or was not.
type Reason struct {
	Code Code   `json:"code"`
	Text string `json:"text"`
}

// String gives "code: text".
func (r Reason) String() string { return string(r.Code) + ": " + r.Text }

func because(code Code, format string, args ...any) Reason {
	if len(args) == 0 { // most say the same each time, in each tick
		return Reason{Code: code, Text: format}
	}
	return Reason{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Severity orders conditions.
type Severity string

// Severities: an error needs a person now, a warning soon, an info never.
const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Condition is a lasting state that a person should know of, from the catalogue.
type Condition struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Hint     string   `json:"hint,omitempty"`
	Since    Instant  `json:"since"`
}

// The catalogue of conditions: what CLI, API, metrics and dashboard may show.
const (
	CondNoLeader      Code = "no_leader"
	CondNoQuorum      Code = "store_unreachable"
	CondFailsafe      Code = "failsafe"
	CondDataForeign   Code = "data_foreign"
	CondDataUnmounted Code = "data_unmounted"
	CondDataOther     Code = "data_other_cluster"
	CondCloneFailed   Code = "clone_failed"
	CondStartFailed   Code = "start_failed"
	CondRejected      Code = "parameters_rejected"
	CondPending       Code = "restart_pending"
	CondNotStreaming  Code = "not_streaming"
	CondDegraded      Code = "sync_degraded"
	CondStalled       Code = "sync_stalled"
	CondHeld          Code = "clients_held"
	CondPaused        Code = "paused"
	CondNotAnswering  Code = "postgres_not_answering"
	CondMemberDown    Code = "member_unreachable"
	CondSlotLost      Code = "slot_lost"
	CondWardenGone    Code = "warden_gone"
	CondRemoved       Code = "removed"
	CondStepFailed    Code = "step_failed"
	CondOverridden    Code = "sync_overridden"
	CondUnguarded     Code = "commits_unguarded"
	// CondPromotionHangs: PostgreSQL was told to promote, and has not come to an end of it.
	CondPromotionHangs Code = "promotion_hangs"
	CondWatchdog       Code = "watchdog_unavailable" // automatic: the member goes on without
	CondUnwatched      Code = "watchdog_required"    // required: the member must not lead
	CondInvariant      Code = "invariant_broken"     // raised by the agent, which watches what core decides
	CondTwoPrimaries   Code = "two_primaries"        // so too
	CondStoreLost      Code = "store_lost"           // so too
	CondVotesMissing   Code = "votes_missing"        // so too
	CondForkNotSaved   Code = "fork_not_saved"
	CondCommitsLost    Code = "commits_lost"
	CondWriteHangs     Code = "write_hangs"
	CondDiskFailed     Code = "disk_failed"
	CondUnkillable     Code = "unkillable"
	CondDataFull       Code = "data_volume_full"
	CondDataLow        Code = "data_volume_low"
	CondWALFull        Code = "wal_volume_full"
	CondWALLow         Code = "wal_volume_low"
	CondStateFull      Code = "state_volume_full"
	CondStateLow       Code = "state_volume_low"
	CondArchive        Code = "archive_failing"
	CondConnections    Code = "connections_exhausted"
	CondSlow           Code = "slow_commits"
	CondWriteFails     Code = "write_fails"
	CondChecksum       Code = "checksum_failure"
	CondVIP            Code = "vip_failed"  // raised by the agent, which carries the address
	CondHook           Code = "hook_failed" // so too
)

// Conditions of a host's endpoints, raised by whoever runs them.
const (
	CondPoolerMissing   Code = "pooler_missing"
	CondPoolerDown      Code = "pooler_down"
	CondPoolerBlind     Code = "pooler_blind"
	CondPoolerHolds     Code = "pooler_holds"
	CondPoolerNoReaders Code = "pooler_no_readers"
)

type entry struct {
	severity Severity
	hint     string
}

// catalogue gives each condition its severity and what to do about it.
var catalogue = map[Code]entry{
	CondNoLeader:       {Error, "`pgherd explain` shows for each member why it does not take over; `pgherd failover --force MEMBER` accepts the stated loss"},
	CondFailsafe:       {Error, "bring the store back: more than half of its voters must run and reach each other. Until then the loss of any one member, or of the way to it, stops writes"},
	CondNoQuorum:       {Error, "bring back members until more than half of the voters run; PostgreSQL restarts by itself then. If their machines are gone for good: `pgherd recover`"},
	CondStoreLost:      {Error, "it does not come back by itself, and nobody elects itself without it: `pgherd recover` shows what each member has, and rebuilds it under confirmation"},
	CondVotesMissing:   {Warning, "start pgherd there, and let it reach the others' raft ports: it takes its place by itself. Until then the store bears the loss of fewer members than it will"},
	CondDataForeign:    {Error, "move the directory's content away, or correct postgres.data_dir in pgherd.yaml; pgherd never overwrites what it does not know"},
	CondDataUnmounted:  {Error, "mount the data volume; pgherd goes on by itself"},
	CondDataOther:      {Error, "this data belongs to another cluster: move it away or correct postgres.data_dir in pgherd.yaml"},
	CondCloneFailed:    {Error, "the text says what failed; it is tried again by itself, sooner after `pgherd reinit MEMBER`. Where there is no space: `pgherd forks` lists data that earlier clones set aside, `pgherd forks remove` deletes it"},
	CondStartFailed:    {Error, "read postgres.log in the member's state_dir; pgherd tries again by itself"},
	CondRejected:       {Error, "correct the parameters with `pgherd config set`; the member runs with its last good ones"},
	CondPending:        {Info, "`pgherd restart` restarts the members that need it, in the right order"},
	CondNotStreaming:   {Warning, "pgherd keeps trying; `pgherd explain` says what it waits for"},
	CondDegraded:       {Warning, "bring the missing standbys back; until then a commit survives fewer failures than the spec asks for"},
	CondStalled:        {Error, "bring the missing standbys back or repair the link between the PostgreSQL servers; commits are acknowledged as soon as enough confirm"},
	CondHeld:           {Error, "bring back the standbys that the text names: the restart made commits visible that may be nowhere else, and who reads them now could see them vanish"},
	CondPaused:         {Warning, "`pgherd resume` when the maintenance is over"},
	CondNotAnswering:   {Error, "look at the load and the disks of this member; processes exist but do not answer"},
	CondMemberDown:     {Warning, "start pgherd on that member, or repair the network to it; `pgherd remove` if it is gone for good"},
	CondSlotLost:       {Warning, "the member needed WAL that is gone; it is cloned again by itself"},
	CondWardenGone:     {Error, "the process that guards PostgreSQL is gone; the agent starts a new one"},
	CondRemoved:        {Error, "this member was removed from the cluster; delete its state_dir and data, or join again under a new token"},
	CondOverridden:     {Error, "ALTER SYSTEM RESET synchronous_standby_names, and synchronous_commit; pgherd sets them. Until then no member takes over by itself: it could lack what clients were told of"},
	CondPromotionHangs: {Error, "look at PostgreSQL's log and at the disk under the data: beyond crash_recovery_max it is given up, if somebody else can lead"},
	CondUnguarded:      {Warning, "clients are told of these commits before a standby has them, and a failover may lose them: RESET synchronous_commit there (ALTER SYSTEM, ALTER ROLE, ALTER DATABASE), or leave it where the application may lose its last commits"},
	CondWatchdog:       {Info, "docs/configuration.md says how pgherd's user gets the device; `watchdog: {mode: off}` in pgherd.yaml goes without one"},
	CondUnwatched:      {Error, "give pgherd's user the device (docs/configuration.md), or choose `watchdog: {mode: automatic}` in pgherd.yaml; this member does not lead until then"},
	CondWriteHangs:     {Error, "the disk under the WAL does not finish a flush while reads go on: look at the device and the kernel's log; beyond health.write_timeout a standby takes over, if one can"},
	CondDiskFailed:     {Error, "the device refuses reads or writes: replace it, then `pgherd reinit MEMBER`; this member leads again only after a small write has succeeded on it"},
	CondUnkillable:     {Error, "the kernel does not end PostgreSQL's processes (a disk that hangs, a frozen group): the lease is let run out so that a standby takes over; repair the disk, or reset the host"},
	CondDataFull:       {Error, "statements that need space fail; free some on the data volume. A standby has as little, so nobody takes over"},
	CondDataLow:        {Warning, "free space on the data volume, or enlarge it, before statements fail"},
	CondWALFull:        {Error, "PostgreSQL ends when it cannot write WAL: free space on the WAL volume; look at slots and archive_command, which keep WAL. It starts again by itself when two segments fit"},
	CondWALLow:         {Warning, "free space on the WAL volume, or enlarge it; look at slots and archive_command, which keep WAL"},
	CondArchive:        {Warning, "PostgreSQL's log says why archive_command fails; repair the archive before the WAL volume is full"},
	CondStateFull:      {Error, "free space on the volume of state_dir, or enlarge it: this member's share of the store ends when it cannot write, and nothing that is to be replaced can be saved. `pgherd forks` lists what is kept there"},
	CondStateLow:       {Warning, "free space on the volume of state_dir, or enlarge it; `pgherd forks` lists what is kept there"},
	CondConnections:    {Warning, "clients are refused: find who holds the connections in pg_stat_activity, pool them, or raise max_connections; pgherd has its own and works on"},
	CondSlow:           {Warning, "commits wait long for the disk under the WAL: look at its load and its limits"},
	CondWriteFails:     {Warning, "pgherd's own small write (pgherd.probe in the database postgres) fails; the text says why. It is no reason for a failover"},
	CondChecksum:       {Error, "a page on this member is corrupt: on a standby `pgherd reinit MEMBER`; on the primary find it with pg_amcheck, switch over to a standby that has none, then reinit. Nobody is cloned from here until `SELECT pg_stat_reset()` in that database"},
	CondInvariant:      {Error, "this is a defect of pgherd: keep STATE_DIR/journal, `pgherd replay STATE_DIR/journal/journal.jsonl*` shows the decision; report it with both"},
	CondTwoPrimaries:   {Error, "`pgherd status` shows where applications write; stop PostgreSQL on the member that does not hold the lease, keep STATE_DIR/journal of all members and report it"},
	CondForkNotSaved:   {Error, "the text says what failed: make room in the member's state_dir, or `pgherd forks remove` older ones; it is tried again by itself. `pgherd config set forks.discard=true` gives the WAL up instead"},
	CondCommitsLost:    {Warning, "start that member: what was lost is told and shown by `pgherd forks` once it is back; `pgherd remove` it if it is gone for good"},
	CondVIP:            {Error, "the text says what failed; it is tried again by itself. The address needs CAP_NET_ADMIN and CAP_NET_RAW: `AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW` in the systemd unit, or start pgherd as root (docs/vip.md)"},
	CondHook:           {Warning, "correct the program or the directory: hooks_dir in pgherd.yaml, and what is in it, belongs to root or pgherd's user and nobody else may write it; it is called again when the role changes, or the agent starts"},
	CondStepFailed:     {Warning, "it is tried again; `pgherd explain` shows the error"},

	CondPoolerMissing:   {Warning, "install PgBouncer 1.21 or newer, or name it with `pooler: {bin: PATH}` in pgherd.yaml, and restart pgherd there; without endpoints take listen.rw and listen.ro out"},
	CondPoolerDown:      {Error, "the text says why PgBouncer does not run; its log is in STATE_DIR/pooler. It is tried again by itself"},
	CondPoolerBlind:     {Warning, "the endpoints send where they sent before: repair the link between this host and what the text names"},
	CondPoolerHolds:     {Error, "clients wait, each for pooler.query_wait at most, and go on by themselves as soon as a primary accepts writes; `pgherd explain` says why there is none"},
	CondPoolerNoReaders: {Warning, "bring a standby back or let it catch up; `pgherd config set pooler.read_from_primary=true` sends readers to the primary meanwhile"},
}

// Catalogued gives a condition's severity and hint; ok is false for a code that is
// not in the catalogue.
func Catalogued(code Code) (severity Severity, hint string, ok bool) {
	e, ok := catalogue[code]
	return e.severity, e.hint, ok
}

// NewCondition builds a condition from the catalogue.
func NewCondition(code Code, since Instant, format string, args ...any) Condition {
	e := catalogue[code]
	return Condition{Code: code, Severity: e.severity, Hint: e.hint, Since: since, Text: fmt.Sprintf(format, args...)}
}

func peerNames(peers []Peer) string {
	if len(peers) == 0 {
		return "nobody else heard"
	}
	var names []string
	for _, p := range peers {
		names = append(names, p.Name+" at "+p.Instance.Position().String())
	}
	return strings.Join(names, ", ")
}

func orNone(text string) string { return cmp.Or(text, "no answer yet") }
