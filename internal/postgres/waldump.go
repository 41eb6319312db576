package postgres

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgherd/pgherd/internal/wal"
)

// LastRecord gives the start of the last valid WAL record at or after from on
// timeline tl. from must be the start of a record that is still on disk, such as
// the latest checkpoint. It reads the WAL with pg_waldump, so its cost grows with
// the distance; the server need not run.
//
// pg_waldump ends with an error wherever WAL ends: at an unwritten page, a record
// of which the rest is missing, or a next segment that does not exist. That is its
// normal end here: only an answer without any record is an error.
func LastRecord(ctx context.Context, in Instance, from wal.LSN, tl wal.Timeline) (wal.LSN, error) {
	end, err := contiguousEnd(in.DataDir, from, tl)
	if err != nil {
		return 0, fmt.Errorf("last WAL record after %s: %w", from, err)
	}
	var last wal.LSN
	text, err := stream(ctx, func(line string) {
		if lsn, ok := parseWaldumpLine(line); ok && lsn > last {
			last = lsn
		}
	}, in.bin("pg_waldump"), "-p", filepath.Join(in.DataDir, "pg_wal"),
		"-t", strconv.FormatUint(uint64(tl), 10), "-s", from.String(), "-e", end.String())
	if ctx.Err() != nil {
		return 0, fmt.Errorf("last WAL record after %s: %w", from, context.Cause(ctx))
	}
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return 0, err // could not be run, or was killed: what it printed may be cut short
	}
	if last == 0 {
		return 0, fmt.Errorf("no WAL record at or after %s on timeline %d in %s/pg_wal: %s", from, tl, in.DataDir, text)
	}
	return last, nil
}

// contiguousEnd is the end of the last segment of tl that follows from without a gap.
// pg_waldump is told to stop there, because it waits 5 s for a next file that is
// missing, hoping that a server writes it.
func contiguousEnd(dataDir string, from wal.LSN, tl wal.Timeline) (wal.LSN, error) {
	found, bytes, err := segments(dataDir)
	if err != nil {
		return 0, err
	}
	there := map[wal.LSN]bool{}
	for _, s := range found {
		if s.Timeline == tl {
			there[s.Start] = true
		}
	}
	end := from - from%wal.LSN(bytes)
	for there[end] {
		end += wal.LSN(bytes)
	}
	if end <= from {
		return 0, fmt.Errorf("the WAL file with %s of timeline %d is not there", from, tl)
	}
	return end, nil
}

// parseWaldumpLine reads the record's LSN from a line such as
// "rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 0/01000028, prev 0/0, desc: ...".
func parseWaldumpLine(line string) (wal.LSN, bool) {
	if !strings.HasPrefix(line, "rmgr: ") {
		return 0, false
	}
	_, rest, ok := strings.Cut(line, ", lsn: ")
	if !ok {
		return 0, false
	}
	text, _, ok := strings.Cut(rest, ",")
	if !ok {
		return 0, false
	}
	lsn, err := wal.ParseLSN(text)
	return lsn, err == nil && lsn != 0
}
