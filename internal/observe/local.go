package observe

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
	"github.com/pgherd/pgherd/internal/warden"
)

// LocalSource reads the own server: the warden's word first, then SQL, then files.
type LocalSource struct {
	Self     string
	Now      func() core.Instant
	Instance postgres.Instance
	DB       *postgres.DB
	Warden   func() warden.Status
	Watchdog spec.WatchdogMode                                        // as this member's file has it
	Applied  func() (confKey, follows string, good map[string]string) // what act last did
	Held     func() bool                                              // so too
	Leaving  func() (pid int)                                         // the postmaster that act told to stop last
	Mount    MountCheck

	health   health
	server   atomic.Pointer[Server]
	flight   flight
	answered int // the postmaster that gave facts last; only the read touches it
	mu       sync.Mutex
	known    core.Local
	at       time.Time
	dataAt   time.Time // of known.Data
	epoch    int       // reads begun in an earlier epoch are dropped
	cache    fileCache
}

// refresh reads once and waits for it for a moment.
func (s *LocalSource) refresh(ctx context.Context) {
	done := s.flight.start(func() { s.read(context.WithoutCancel(ctx)) })
	if !within(ctx, done, localWait) {
		s.mu.Lock()
		s.known.Instance.State = core.StateUnknown // the read hangs: no answer is a fact too
		s.known.Instance.Primary = false
		s.mu.Unlock()
	}
}

// Fresh gives facts no older than maxAge, for members that need them now.
func (s *LocalSource) Fresh(ctx context.Context, maxAge time.Duration) core.Instance {
	s.noOlder(ctx, maxAge)
	return s.view().Instance
}

// noOlder refreshes what was read longer ago than maxAge.
func (s *LocalSource) noOlder(ctx context.Context, maxAge time.Duration) {
	s.mu.Lock()
	old := time.Since(s.at) > maxAge
	s.mu.Unlock()
	if old {
		s.refresh(ctx)
	}
}

func (s *LocalSource) view() core.Local {
	s.mu.Lock()
	l := s.known
	s.mu.Unlock()
	// The warden's word costs nothing and is always newer than a read.
	word := s.Warden()
	l.Warden = wardenView(word)
	l.Warden.Watchdog = watchdogView(word, s.Watchdog)
	l.ConfKey, l.Instance.Follows, l.Good = s.Applied()
	l.Held = s.Held()
	if !l.Warden.Alive || l.Warden.Empty != (l.Instance.State == core.StateStopped) {
		// The two disagree: the read is from before a start or an end.
		if l.Warden.Alive && l.Warden.Empty {
			l.Instance.State, l.Instance.Primary = core.StateUnknown, false
		}
	}
	s.look(&l)
	return l
}

func wardenView(s warden.Status) core.Warden {
	w := core.Warden{Alive: s.Alive, Empty: s.Empty, Deadline: s.Deadline, Term: s.Term, Fenced: s.Fenced != nil}
	if s.LastExit != nil {
		w.ExitedAt = s.LastExit.At
		w.ExitText = exitText(*s.LastExit)
	}
	if s.Fenced != nil && s.Empty {
		w.ExitText = "fenced: " + s.Fenced.Reason
	}
	return w
}

// watchdogView: what a warden says nothing of, it knows nothing of.
func watchdogView(s warden.Status, mode spec.WatchdogMode) core.Watchdog {
	d := core.Watchdog{Required: mode == spec.WatchdogRequired}
	switch {
	case mode == "" || mode == spec.WatchdogOff || !s.Alive:
	case s.Watchdog == nil:
		d.State, d.Text = core.WatchdogUnavailable, "the warden that runs is of an older version; it is replaced when pgherd is stopped and started"
	default:
		d.State, d.Text, d.Timeout = s.Watchdog.State, s.Watchdog.Text, s.Watchdog.Timeout
	}
	return d
}

func exitText(e warden.Exit) string {
	if e.Signal != "" {
		return "signal: " + e.Signal
	}
	if e.Code != 0 {
		return "exit code " + strconv.Itoa(e.Code)
	}
	return ""
}

func (s *LocalSource) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	w, began := s.Warden(), s.Now()
	s.mu.Lock()
	epoch, data := s.epoch, s.known.Data
	again := w.Empty || data.State != core.DataPresent || time.Since(s.dataAt) > filesAge
	s.mu.Unlock()
	if again { // under a running server it hardly changes, and looking costs a directory
		data = s.data()
	}
	l := core.Local{ReadAt: began, Data: data, Instance: s.instance(ctx, w)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch == s.epoch {
		s.known, s.at = l, time.Now()
		if again {
			s.dataAt = s.at
		}
	}
}

// Invalidate forgets what was read, and what is being read: a job has changed the
// data directory, and its end must not be judged by what was there before.
func (s *LocalSource) Invalidate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.at = time.Time{} // whatever is old enough otherwise, this is read anew
	s.cache.forget()
	s.known = core.Local{Data: core.Data{State: core.DataUnknown, Text: "being read again"}, Instance: core.Instance{State: core.StateUnknown}}
}

func (s *LocalSource) data() core.Data {
	if text := s.Mount.Missing(); text != "" {
		return core.Data{State: core.DataUnmounted, Text: text}
	}
	state, version, mark, err := postgres.DataState(s.Instance)
	switch {
	case err != nil:
		return core.Data{State: core.DataUnknown, Text: err.Error()}
	case state == postgres.DirAbsent || state == postgres.DirEmpty:
		return core.Data{State: core.DataAbsent}
	case state == postgres.DirForeign:
		return core.Data{State: core.DataForeign, Text: s.Instance.DataDir + " is not empty and is no PostgreSQL data directory"}
	case mark == nil:
		return core.Data{State: core.DataForeign, Text: s.Instance.DataDir + " is a data directory of PostgreSQL " + version + " that pgherd did not make"}
	}
	if mark.Member != s.Self {
		return core.Data{State: core.DataForeign, Text: s.Instance.DataDir + " is the data of member " + mark.Member + ", not of " + s.Self}
	}
	if pending, err := postgres.RewindPending(s.Instance); err != nil || pending {
		return core.Data{State: core.DataBroken, ClusterID: mark.ClusterID, SystemID: mark.SystemID, Text: "an interrupted rewind"}
	}
	return core.Data{State: core.DataPresent, ClusterID: mark.ClusterID, SystemID: mark.SystemID}
}

func (s *LocalSource) instance(ctx context.Context, w warden.Status) core.Instance {
	if !w.Alive {
		return core.Instance{State: core.StateUnknown}
	}
	if w.Empty {
		return s.stopped(ctx, w)
	}
	if w.PostmasterPID != 0 && w.PostmasterPID == s.answered && w.PostmasterPID == s.Leaving() {
		// It lets nobody in any more, and each who knocks is a process that it has to make and to wait for.
		i := core.Instance{State: core.StateStopping}
		s.control(&i)
		return i
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	f, err := s.DB.Facts(ctx)
	if err != nil {
		return s.notAnswering(err, w.PostmasterPID)
	}
	s.answered = w.PostmasterPID
	s.server.Store(serverOf(f))
	i := running(f)
	s.control(&i)
	i.History = s.cache.history(s.Instance.DataDir, i.Timeline)
	if i.Primary {
		i.OldestWAL = s.cache.oldest(s.Instance.DataDir)
		i.PrimaryLimits = nil
	}
	return i
}

// control adds what the control file says; it is read every time, as a switchover
// waits for its "shut down".
func (s *LocalSource) control(i *core.Instance) {
	c, err := postgres.ReadControl(s.Instance.DataDir)
	if err != nil {
		return // absent knowledge: Control stays empty, which permits nothing
	}
	i.Control, i.Checkpoint, i.CheckpointTimeline, i.RedoLSN = string(c.State), c.Checkpoint, c.Timeline, c.Redo
	i.SystemID, i.PrimaryLimits = c.SystemID, c.Limits.Map()
}

func (s *LocalSource) stopped(ctx context.Context, w warden.Status) core.Instance {
	i := core.Instance{State: core.StateStopped}
	if _, err := os.Stat(s.Instance.DataDir); err != nil {
		return i
	}
	s.control(&i)
	if i.Control == "" {
		return i
	}
	if _, err := os.Stat(s.Instance.DataDir + "/backup_label"); err == nil {
		i.Control = "in archive recovery" // a clone that never ran: the state in the copied file is its source's
	}
	// Reading all WAL since the last checkpoint takes as long as it takes; a limit that
	// it never meets would make "not known" of a fact.
	long, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRecordLimit)
	defer cancel()
	i.Timeline, i.LastRecord = s.cache.lastRecord(long, s.Instance, s.asTold(w.LastExit))
	// A promotion that came half through has written its timeline's history and first file, and
	// nothing into the control file. PostgreSQL goes for that timeline at every start, so it is
	// what the data is on. (A history alone proves nothing: it is fetched ahead of the WAL.)
	if onDisk, err := postgres.TimelineOnDisk(s.Instance.DataDir, i.LastRecord+1); err == nil && i.LastRecord != 0 {
		i.Timeline = max(i.Timeline, onDisk)
	}
	i.History = s.cache.history(s.Instance.DataDir, i.Timeline)
	return i
}

// asTold: the server that gave facts last was told to stop, and ended well.
func (s *LocalSource) asTold(e *warden.Exit) bool {
	return e != nil && exitText(*e) == "" && e.PID == s.answered && e.PID == s.Leaving()
}

// notAnswering tells starting and stopping from not answering.
func (s *LocalSource) notAnswering(err error, pid int) core.Instance {
	i := core.Instance{}
	s.control(&i)
	i.State = silentState(postgres.Classify(err), i.Control, pid != 0 && pid == s.answered)
	if i.State == core.StateStarting {
		i.LastRecord = s.cache.recorded(i.RedoLSN)
		i.RecoveryLSN = postgres.RecoveringAt(pid, s.Instance.DataDir)
	}
	return i
}

// silentState is that of a server that gives no facts. Where nobody listens it is either between
// the start of the process and its socket, or between the end of it and its exit; and the control
// file of a server that was stopped cleanly says "shut down" in both. Only one that has
// answered before is at its end: a lease may be handed over by that.
func silentState(a postgres.Answer, control string, answeredBefore bool) core.InstanceState {
	switch a {
	case postgres.AnswerStarting:
		return core.StateStarting
	case postgres.AnswerStopping:
		return core.StateStopping
	case postgres.AnswerRefused:
		if answeredBefore && strings.HasPrefix(control, "shut") {
			return core.StateStopping
		}
		return core.StateStarting
	}
	return core.StateUnknown
}

func running(f postgres.Facts) core.Instance {
	i := core.Instance{
		State: core.StateRunning, Primary: !f.InRecovery, SystemID: f.SystemID,
		StartedAt: f.StartTime.UnixMilli(), Timeline: f.Timeline,
		WriteLSN: f.FlushLSN, ReceivedLSN: max(f.ReceiveLSN, f.ReplayLSN), ReplayLSN: f.ReplayLSN,
		ReplayDone: f.ReplayAtEnd, Receiver: f.Receiver != nil,
		Streaming: f.Receiver != nil && f.Receiver.Status == "streaming",
		Pending:   f.PendingRestart, Limits: limitsOf(f.Settings), Roles: f.Roles,
		Sessions: f.Sessions, SessionsMax: unreserved(f), Corrupt: f.Corrupt, Unarchived: f.Unarchived,
	}
	if i.Primary {
		i.ReceivedLSN, i.ReplayLSN = 0, 0
	}
	if postgres.Guards(f.CommitWait) {
		i.SyncK, i.SyncNames = postgres.ParseSyncNames(f.Setting("synchronous_standby_names"))
	} else { // whoever is named, no commit waits for them
		i.Unguarded = append(i.Unguarded, "all sessions: "+f.CommitWait)
	}
	for _, w := range f.Waits {
		if !postgres.Guards(w.Value) {
			i.Unguarded = append(i.Unguarded, whose(w)+": "+w.Value)
		}
	}
	for _, snd := range f.Senders {
		if snd.User != postgres.RoleReplicator || snd.State == "backup" {
			continue
		}
		i.Senders = append(i.Senders, core.Sender{Member: snd.ApplicationName, Streaming: snd.State == "streaming", FlushLSN: snd.FlushLSN, ReplayLSN: snd.ReplayLSN})
	}
	for _, slot := range f.Slots {
		if slot.Physical && !slot.Temporary && strings.HasPrefix(slot.Name, spec.SlotPrefix) {
			i.Slots = append(i.Slots, core.Slot{Name: slot.Name, Active: slot.Active, Lost: slot.WalStatus == "lost"})
		}
	}
	return i
}

func whose(w postgres.CommitWait) string {
	switch {
	case w.Role == "":
		return "database " + w.Database
	case w.Database == "":
		return "role " + w.Role
	}
	return "role " + w.Role + " in database " + w.Database
}

// unreserved is how many sessions there may be of those who are no superusers; 0 where not known.
func unreserved(f postgres.Facts) int {
	all, err := strconv.Atoi(f.Setting("max_connections"))
	reserved, err2 := strconv.Atoi(f.Setting("superuser_reserved_connections"))
	if err != nil || err2 != nil {
		return 0
	}
	lent, _ := strconv.Atoi(f.Setting("reserved_connections")) // from 16 on, for a role of its own
	return all - reserved - lent
}

// lastKnown is the timeline and last record of stopped data.
type lastKnown struct {
	control  postgres.Control
	timeline wal.Timeline
	record   wal.LSN
}
