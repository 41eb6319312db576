package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/pgherd/pgherd/internal/wal"
)

// History reads pg_wal/NNNNNNNN.history of timeline tl. Timeline 1 has none: its
// history is empty. A missing file of another timeline is fs.ErrNotExist.
func History(dataDir string, tl wal.Timeline) (wal.History, error) {
	if tl <= 1 {
		return nil, nil
	}
	path := historyFile(Instance{DataDir: dataDir}, tl)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("timeline history: %w", err)
	}
	h, err := wal.ParseHistory(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// segment is a WAL file: its timeline and the LSN of its first byte.
type segment struct {
	Timeline wal.Timeline
	Start    wal.LSN
}

// parseSegment reads a WAL file's name (24 hexadecimal digits). segmentBytes is a
// power of two, 1 MiB to 1 GiB.
func parseSegment(name string, segmentBytes int64) (segment, bool) {
	if len(name) != 24 || segmentBytes <= 0 {
		return segment{}, false
	}
	var part [3]uint64
	for i := range part {
		n, err := strconv.ParseUint(name[i*8:i*8+8], 16, 32)
		if err != nil {
			return segment{}, false
		}
		part[i] = n
	}
	return segment{wal.Timeline(part[0]), wal.LSN(part[1]<<32 + part[2]*uint64(segmentBytes))}, true
}

// segments lists the WAL files of dataDir with the size of one.
func segments(dataDir string) ([]segment, int64, error) {
	c, err := ReadControl(dataDir)
	if err != nil {
		return nil, 0, err
	}
	entries, err := os.ReadDir(filepath.Join(dataDir, "pg_wal"))
	if err != nil {
		return nil, 0, fmt.Errorf("WAL directory: %w", err)
	}
	var found []segment
	for _, e := range entries {
		if s, ok := parseSegment(e.Name(), c.WalSegmentBytes); ok {
			found = append(found, s)
		}
	}
	return found, c.WalSegmentBytes, nil
}

// OldestSegment gives the start and timeline of the oldest WAL file kept in
// dataDir; fs.ErrNotExist when there is none.
func OldestSegment(dataDir string) (wal.LSN, wal.Timeline, error) {
	found, _, err := segments(dataDir)
	if err != nil {
		return 0, 0, err
	}
	if len(found) == 0 {
		return 0, 0, fmt.Errorf("no WAL file in %s/pg_wal: %w", dataDir, fs.ErrNotExist)
	}
	oldest := found[0]
	for _, s := range found[1:] {
		if s.Start < oldest.Start || s.Start == oldest.Start && s.Timeline < oldest.Timeline {
			oldest = s
		}
	}
	return oldest.Start, oldest.Timeline, nil
}

// TimelineOnDisk gives the newest timeline of which dataDir holds WAL up to upTo,
// or 0. A standby whose WAL receiver was stopped forgets on which timeline it had
// received (the control file learns it only with the next restartpoint), but the
// file that holds the last received byte carries it in its name. Files of a later
// place are recycled ones and prove nothing.
func TimelineOnDisk(dataDir string, upTo wal.LSN) (wal.Timeline, error) {
	if upTo == 0 {
		return 0, nil
	}
	found, segmentBytes, err := segments(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var newest wal.Timeline
	for _, s := range found {
		holdsLast := s.Start < upTo && upTo-s.Start <= wal.LSN(segmentBytes)
		if holdsLast && s.Timeline > newest {
			newest = s.Timeline
		}
	}
	return newest, nil
}
