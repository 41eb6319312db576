package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrSourceNotReady: the source was promoted and has made no checkpoint since.
// pg_rewind before 16 would take its old timeline from the control file and find
// nothing to do. Let the source CHECKPOINT, then try again.
var ErrSourceNotReady = errors.New("the source has made no checkpoint since its promotion")

// RewindImpossibleError says that pg_rewind cannot bring this data directory back:
// clone instead.
type RewindImpossibleError struct {
	Reason string
	Output string // pg_rewind's words
}

func (e *RewindImpossibleError) Error() string { return "rewind is impossible: " + e.Reason }

// RewindOptions says what to rewind to whom.
type RewindOptions struct {
	Source   Source // a running primary
	Instance Instance
	Mark     Mark
}

// RewindResult tells what a rewind did.
type RewindResult struct {
	Needed bool   // false: the histories did not diverge, nothing was copied
	Output string // the end of pg_rewind's words
}

// Rewind makes a stopped data directory that diverged follow the source again. A
// server that crashed is first recovered by single-user PostgreSQL with the
// configuration of its data directory; a crashed *standby* recovers better by being
// started as a standby and stopped, because recovery outside of archive recovery
// does not follow a timeline switch.
//
// pg_rewind copies the source's files over, also configuration: the mark and
// standby.signal are put right here, pgherd.conf and its like are the caller's to
// render before the start. While files change, DataDir.rewinding stands beside:
// an interrupted rewind leaves nothing that can be started or rewound again
// (RewindPending), only a clone helps.
//
// Errors to tell apart: *RewindImpossibleError (clone), ErrSourceNotReady (later).
func Rewind(ctx context.Context, o RewindOptions, progress func(string)) (RewindResult, error) {
	if pending, err := RewindPending(o.Instance); err != nil {
		return RewindResult{}, err
	} else if pending {
		return RewindResult{}, &RewindImpossibleError{Reason: "an earlier rewind was interrupted in " + o.Instance.DataDir}
	}
	if err := checkRewindSource(ctx, o.Source); err != nil {
		return RewindResult{}, err
	}
	if err := recoverSingleUser(ctx, o.Instance, progress); err != nil {
		return RewindResult{}, err
	}
	if err := writeMarkFile(rewindingFile(o.Instance), o.Mark); err != nil {
		return RewindResult{}, err
	}
	cmd := command(ctx, o.Instance.bin("pg_rewind"), "--target-pgdata="+o.Instance.DataDir,
		"--source-server="+o.Source.connInfo(RoleRewind, "postgres"), "--progress", "--no-ensure-shutdown")
	begun, same := false, false
	text, err := run(ctx, cmd, func(line string) {
		begun = begun || strings.Contains(line, "rewinding from last common checkpoint")
		same = same || strings.Contains(line, "no rewind required")
		if progress != nil {
			progress(line)
		}
	})
	if err != nil {
		return RewindResult{Output: text}, judgeRewind(o.Instance, begun, text, err)
	}
	return RewindResult{Needed: !same, Output: text}, adoptRewound(o, !same)
}

// checkRewindSource refuses a primary whose control file is still on its old timeline.
func checkRewindSource(ctx context.Context, s Source) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer closeSoon(conn)
	var standby bool
	var now, checkpoint int64
	err = conn.QueryRow(ctx, `
WITH r AS MATERIALIZED (SELECT pg_is_in_recovery() AS standby)
SELECT standby, (SELECT timeline_id FROM pg_control_checkpoint()),
       CASE WHEN standby THEN 0 ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END
  FROM r`).Scan(&standby, &checkpoint, &now)
	if err != nil {
		return fmt.Errorf("source %s:%d: %w", s.Host, s.Port, err)
	}
	if standby {
		return fmt.Errorf("source %s:%d is not a primary", s.Host, s.Port)
	}
	if checkpoint != now {
		return fmt.Errorf("source %s:%d: %w", s.Host, s.Port, ErrSourceNotReady)
	}
	return nil
}

// recoverSingleUser ends a crashed server's recovery, because pg_rewind wants a
// clean shutdown. It is not left to pg_rewind, so that being interrupted in a long
// recovery costs nothing: only a rewind that copies leaves the point of no return.
func recoverSingleUser(ctx context.Context, in Instance, progress func(string)) error {
	c, err := ReadControl(in.DataDir)
	if err != nil || c.CleanShutdown() {
		return err
	}
	if err := RemoveStandbySignal(in); err != nil { // single-user mode refuses to be a standby
		return err
	}
	path, args, _ := StartArgs(in)
	// "exit on any error", so that a recovery that went wrong cannot look like a clean one.
	args = append([]string{"--single"}, append(args, "-c", "exit_on_error=on", "template1")...)
	text, err := run(ctx, command(ctx, path, args...), progress)
	if err != nil && ctx.Err() == nil {
		return &RewindImpossibleError{Reason: "crash recovery in single-user mode failed: " + text, Output: text}
	}
	if err != nil {
		return err
	}
	if c, err = ReadControl(in.DataDir); err == nil && !c.CleanShutdown() {
		err = &RewindImpossibleError{Reason: fmt.Sprintf("after crash recovery the control file says %q", c.State), Output: text}
	}
	return err
}

// rewindNever are pg_rewind's words for what will not be better next time.
var rewindNever = []string{
	"from different systems",
	"not compatible with this version",
	"could not find common ancestor",
	"data checksums or \"wal_log_hints",
	"could not find previous WAL record",
	"could not read WAL record",
	"could not open file",
	"target server must be shut down cleanly",
	"source and target cluster are on the same timeline, but",
}

// judgeRewind says what a failed pg_rewind means, and takes the journal back when
// nothing was changed.
func judgeRewind(in Instance, begun bool, text string, err error) error {
	if begun {
		return &RewindImpossibleError{Reason: "pg_rewind failed while copying: " + lastLine(text), Output: text}
	}
	if cerr := clearRewinding(in); cerr != nil {
		return errors.Join(err, cerr)
	}
	for _, words := range rewindNever {
		if strings.Contains(text, words) {
			return &RewindImpossibleError{Reason: lastLine(text), Output: text}
		}
	}
	return err
}

func lastLine(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

func adoptRewound(o RewindOptions, copied bool) error {
	if copied {
		for _, name := range []string{"postmaster.pid", "postmaster.opts", "recovery.signal", "backup_manifest"} {
			if err := removeIfThere(o.Instance.path(name)); err != nil {
				return err
			}
		}
		if err := WriteMark(o.Instance, o.Mark); err != nil {
			return err
		}
	}
	if err := EnsureStandbySignal(o.Instance); err != nil {
		return err
	}
	return clearRewinding(o.Instance)
}

func rewindingFile(in Instance) string { return in.DataDir + ".rewinding" }

// RewindPending tells whether a rewind was interrupted while it changed files: the
// data directory must not be started, only a clone helps.
func RewindPending(in Instance) (bool, error) { return exists(rewindingFile(in)) }

func clearRewinding(in Instance) error { return removeIfThere(rewindingFile(in)) }
