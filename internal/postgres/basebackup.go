package postgres

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrCloneBusy: another member is being cloned from this source. Try again later,
// or elsewhere.
var ErrCloneBusy = errors.New("another clone is being taken from this source")

// The advisory lock that a clone holds on its source for the whole time.
const (
	cloneLockClass = 7046733
	cloneLockID    = 1
)

// BackupOptions says what to copy from where to where.
type BackupOptions struct {
	Source   Source
	Instance Instance // its DataDir and WalDir are the places InstallClone will fill
	Mark     Mark     // for the new data directory
	Slot     string   // a slot on the source that keeps the WAL; empty: a temporary one
	// ReserveBytes is space to leave free beyond the copy itself.
	ReserveBytes int64
}

// Progress of a copy. Text is the program's own line.
type Progress struct {
	DoneBytes, TotalBytes int64
	Text                  string
}

// BaseBackup copies the source into DataDir.clone (and WalDir.clone), ready to be a
// standby, and declares it whole; the data directory itself is not touched, and a
// server may run on it. InstallClone puts the copy in place. An earlier copy that
// was not installed is replaced. The caller renders the configuration before the
// start, for the one copied is the source's.
//
// Errors to tell apart: ErrCloneBusy, *ErrNoSpace, *MountPointError (nothing was
// touched); *ProgramError with pg_basebackup's words. progress may be nil.
func BaseBackup(ctx context.Context, o BackupOptions, progress func(Progress)) error {
	if progress == nil {
		progress = func(Progress) {}
	}
	lock, err := lockClone(ctx, o.Source)
	if err != nil {
		return err
	}
	defer closeSoon(lock)
	if err := checkCloneSpace(ctx, lock, o); err != nil {
		return err
	}
	b := cloneOf(o.Instance)
	if err := b.prepare(); err != nil {
		return fmt.Errorf("clone: %w", err)
	}
	cmd := command(ctx, o.Instance.bin("pg_basebackup"), backupArgs(b, o)...)
	if _, err := run(ctx, cmd, func(line string) { progress(parseProgress(line)) }); err != nil {
		return errors.Join(err, b.discard())
	}
	if err := adoptClone(b, o.Mark); err != nil {
		return fmt.Errorf("clone: %w", err)
	}
	return b.complete()
}

func backupArgs(b build, o BackupOptions) []string {
	args := []string{"-d", o.Source.connInfo(RoleReplicator, ""), "-D", b.dataDir(), "-w",
		"-X", "stream", "--checkpoint=fast", "--progress", "--verbose"}
	if b.walDir() != "" {
		args = append(args, "--waldir="+b.walDir())
	}
	if o.Slot != "" {
		args = append(args, "--slot="+o.Slot)
	}
	return args
}

// lockClone opens the session that holds the source's clone lock until it is closed.
func lockClone(ctx context.Context, s Source) (*pgx.Conn, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	var got bool
	err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1::int, $2::int)", cloneLockClass, cloneLockID).Scan(&got)
	if err == nil && !got {
		err = ErrCloneBusy
	}
	if err != nil {
		closeSoon(conn)
		return nil, fmt.Errorf("source %s:%d: %w", s.Host, s.Port, err)
	}
	return conn, nil
}

// closeSoon closes with a bound of its own: it also runs after ctx ended.
func closeSoon(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

// walBytesExtra is room for the WAL that is written while the copy is taken.
const walBytesExtra = 128 << 20

func checkCloneSpace(ctx context.Context, conn *pgx.Conn, o BackupOptions) error {
	var bytes int64
	if err := conn.QueryRow(ctx, databaseBytesSQL).Scan(&bytes); err != nil {
		return fmt.Errorf("size of the source: %w", err)
	}
	need := bytes + bytes/20 + o.ReserveBytes
	if o.Instance.WalDir == "" {
		return checkSpace(o.Instance.DataDir, need+walBytesExtra)
	}
	if err := checkSpace(o.Instance.WalDir, walBytesExtra); err != nil {
		return err
	}
	return checkSpace(o.Instance.DataDir, need)
}

// adoptClone makes the copy ours: what belongs to the source's running server or
// to its identity goes, and it will start as a standby.
func adoptClone(b build, m Mark) error {
	for _, name := range []string{"postmaster.pid", "postmaster.opts", "recovery.signal", "backup_manifest",
		MarkFile + ".new", ConfFile + ".new", HBAFile + ".new", IdentFile + ".new"} {
		if err := removeIfThere(filepath.Join(b.dataDir(), name)); err != nil {
			return err
		}
	}
	if err := ensureStandbySignal(b.dataDir()); err != nil {
		return err
	}
	return writeMarkFile(filepath.Join(b.dataDir(), MarkFile), m)
}

// parseProgress reads "  31185/104960 kB (29%), 0/1 tablespace"; any other line is text.
func parseProgress(line string) Progress {
	p := Progress{Text: line}
	counts, _, ok := strings.Cut(strings.TrimSpace(line), " kB")
	if !ok {
		return p
	}
	done, total, ok := strings.Cut(counts, "/")
	if !ok {
		return p
	}
	d, err1 := strconv.ParseInt(done, 10, 53)
	t, err2 := strconv.ParseInt(total, 10, 53)
	if err1 == nil && err2 == nil && d >= 0 && t >= 0 {
		p.DoneBytes, p.TotalBytes = d<<10, t<<10
	}
	return p
}
