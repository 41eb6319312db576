package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/wal"
)

// ForkOptions says what to save and where.
type ForkOptions struct {
	Dir      string // of all saved forks
	Instance Instance
	From     wal.Position // the last position that the primary has too; zero: not known
	Timeline wal.Timeline // ours
	Acked    bool         // see forks.Summary
	Member   string
	Cluster  string
	Now      time.Time
}

// forkReserveBytes stay free beside what is saved: the member's store lives on the same disk.
const forkReserveBytes = 64 << 20

// SaveFork copies the WAL of a stopped server that the primary does not have, durably, with a
// summary of what is in it. It gives nil when there is none. A fork that is saved already is
// not saved again. Only what stands in the way of saving is an error; WAL that is gone or
// cannot be read is told by the summary.
//
// It copies, and makes no hard links: pg_rewind writes over files of the same name in place, and
// the server that comes back renames old segments and writes new WAL into them. Both would
// change what a link shows. Where the file system can share blocks until one of the
// two is written (XFS, Btrfs) the copy takes no space.
func SaveFork(ctx context.Context, o ForkOptions, progress func(string)) (*forks.Summary, error) {
	progress("reading the WAL that only this member has")
	s, files, err := scanFork(ctx, o)
	if err != nil || s == nil {
		return nil, err
	}
	list, err := forks.List(o.Dir)
	if err != nil {
		return nil, err
	}
	var older []string
	for _, have := range list {
		if have.SystemID != s.SystemID || have.Timeline != s.Timeline || have.From != s.From {
			continue
		}
		// What is there now is that fork again: an attempt that came to nothing after it was
		// saved. It has grown by the records of crash recovery at most, and may have lost WAL.
		if s.Committed <= have.Committed && (have.Complete || !s.Complete) {
			if o.Acked && !have.Acked { // known by now
				have.Acked = true
				err = forks.Write(filepath.Join(o.Dir, have.ID), have)
			}
			return &have, err
		}
		if s.Complete { // it has all of the older one
			older = append(older, have.ID)
		}
	}
	if err := copyFork(ctx, o, s, files, progress); err != nil {
		return nil, err
	}
	for _, id := range older {
		if err := forks.Remove(o.Dir, id); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// copyFork makes the directory beside the others and renames it when it is whole and on disk.
func copyFork(ctx context.Context, o ForkOptions, s *forks.Summary, files []string, progress func(string)) (err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	making := filepath.Join(o.Dir, forks.Making)
	defer func() {
		if err != nil { // half a copy helps nobody, and the member's store needs the room
			err = errors.Join(err, os.RemoveAll(making))
		}
	}()
	if err := os.RemoveAll(making); err != nil {
		return err
	}
	pgWal := o.Instance.path("pg_wal")
	var total, done int64
	for _, name := range files {
		if info, err := os.Stat(filepath.Join(pgWal, name)); err == nil {
			total += info.Size()
		}
	}
	var space *ErrNoSpace
	if err := checkSpace(o.Dir, total+forkReserveBytes); errors.As(err, &space) {
		return fmt.Errorf("no space in %s for the WAL that only this member has: it needs %d MB, %d MB are free", o.Dir, space.Need>>20, space.Free>>20)
	} else if err != nil {
		return err
	}
	if err := os.Mkdir(making, 0o700); err != nil {
		return err
	}
	for _, name := range files {
		progress(fmt.Sprintf("saving the WAL that only this member has: %d of %d MB", done>>20, total>>20))
		n, unread, err := copyWAL(ctx, filepath.Join(pgWal, name), filepath.Join(making, name))
		if err != nil {
			return err
		}
		if unread != nil {
			s.Complete, s.Missing = false, append(s.Missing, fmt.Sprintf("%s: %v", name, unread))
		}
		if n > 0 {
			s.Files, done = append(s.Files, name), done+n
		}
	}
	return forks.Finish(o.Dir, s)
}

// copyWAL copies one file durably. What cannot be read of it is told apart from what cannot be written.
func copyWAL(ctx context.Context, from, to string) (n int64, unread, err error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err, nil
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, out.Sync(), out.Close()) }()
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) == nil {
		info, err := in.Stat()
		return info.Size(), nil, err
	}
	buffer := make([]byte, 1<<20)
	for ctx.Err() == nil {
		got, rerr := in.Read(buffer)
		if _, err := out.Write(buffer[:got]); err != nil {
			return n, nil, err
		}
		n += int64(got)
		if errors.Is(rerr, io.EOF) {
			return n, nil, nil
		}
		if rerr != nil {
			return n, rerr, nil
		}
	}
	return n, nil, context.Cause(ctx)
}

// scanFork reads what there is past the fork: its summary, and the files that hold it.
func scanFork(ctx context.Context, o ForkOptions) (*forks.Summary, []string, error) {
	control, err := ReadControl(o.Instance.DataDir)
	if err != nil {
		return nil, nil, err
	}
	found, bytes, err := segments(o.Instance.DataDir)
	if err != nil {
		return nil, nil, err
	}
	s := &forks.Summary{
		Member: o.Member, Cluster: o.Cluster, SystemID: control.SystemID, SavedAt: o.Now.UTC().Truncate(time.Second),
		Timeline: o.Timeline, From: o.From, Acked: o.Acked, Complete: true,
		Files: []string{}, Transactions: []forks.Transaction{}, Relations: []forks.Relation{},
	}
	miss := func(format string, args ...any) {
		s.Complete, s.Missing = false, append(s.Missing, fmt.Sprintf(format, args...))
	}
	scan := newForkScan(s)
	var files []string
	spans := forkSpans(o, miss)
	for i, span := range spans {
		final := i == len(spans)-1
		for j, run := range span.runs(found, bytes, final, miss) {
			before := scan.records
			if err := scan.read(ctx, o.Instance, span.timeline, run.from, run.to); err != nil {
				return nil, nil, err
			}
			empty, last := scan.records == before, run.from
			if !empty {
				last = scan.last + wal.LSN(scan.lastBytes)
			}
			var beyond []string
			if final {
				beyond = span.beyond(o.Instance, found, bytes, last)
			}
			if empty && final && j > 0 && len(beyond) == 0 {
				break // files that wait for new use
			}
			if run.gap != "" {
				miss("%s", run.gap)
			}
			if empty && !final {
				miss("no record of timeline %d between %s and %s could be read", span.timeline, run.from, run.to)
			}
			if len(beyond) > 0 {
				miss("the WAL of timeline %d goes on after %s, and cannot be read there", span.timeline, last)
			}
			files = append(append(files, span.files(found, bytes, run.from, last)...), beyond...)
		}
	}
	if scan.records == 0 && s.Complete {
		return nil, nil, nil
	}
	scan.finish()
	slices.Sort(files)
	return s, withHistories(o, slices.Compact(files)), nil
}

// withHistories adds the timelines' own files: they tell how the segments belong together.
func withHistories(o ForkOptions, files []string) []string {
	for tl := max(o.From.Timeline, 2); tl <= o.Timeline; tl++ {
		path := historyFile(o.Instance, tl)
		if there, err := exists(path); err == nil && there {
			files = append(files, filepath.Base(path))
		}
	}
	return files
}
