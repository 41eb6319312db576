package postgres

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/pgherd/pgherd/internal/wal"
)

// pg_waldump ends where WAL ends and where it cannot be read, with the same exit code. What tells the two apart are the pages
// after that: a page's header has its own position and timeline, which those of a file that waits for new use have not.

const (
	walPageBytes     = 8192 // XLOG_BLCKSZ, which no package changes
	walHeaderBytes   = 24
	walFirstIsOfPrev = 1 // XLP_FIRST_IS_CONTRECORD
)

// beyond names the files of a timeline that hold WAL after a position at which reading ended; none where that is the end.
// The file that the position lies in is among them when one is.
func (sp forkSpan) beyond(in Instance, found []segment, bytes int64, end wal.LSN) (names []string) {
	size := wal.LSN(bytes)
	for _, start := range sp.starts(found, size) {
		if start+size <= end {
			continue
		}
		name := segmentName(segment{sp.timeline, start}, bytes)
		first := max(start, end+walPageBytes-1-(end+walPageBytes-1)%walPageBytes) // the page of end itself is read already
		if goesOn(in.path("pg_wal/"+name), sp.timeline, start, first, start+size) {
			names = append(names, name)
		}
	}
	if at := end - end%size; len(names) > 0 && slices.Contains(found, segment{sp.timeline, at}) {
		names = append(names, segmentName(segment{sp.timeline, at}, bytes))
		slices.Sort(names)
		names = slices.Compact(names)
	}
	return names
}

// goesOn: between two positions of a file there is a page on which a record ends or begins. One that only continues a record
// may be all of it that was written before a crash. A file that cannot be read is taken for one that has.
func goesOn(file string, tl wal.Timeline, start, from, to wal.LSN) bool {
	f, err := os.Open(file)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	defer f.Close()
	header := make([]byte, walHeaderBytes)
	for at := from; at < to; at += walPageBytes {
		if _, err := f.ReadAt(header, int64(at-start)); errors.Is(err, io.EOF) {
			return false
		} else if err != nil {
			return true
		}
		info, page := binary.LittleEndian.Uint16(header[2:]), binary.LittleEndian.Uint64(header[8:])
		if binary.LittleEndian.Uint32(header[4:]) != uint32(tl) || page != uint64(at) {
			continue
		}
		if rest := binary.LittleEndian.Uint32(header[16:]); info&walFirstIsOfPrev == 0 || rest < walPageBytes-walHeaderBytes {
			return true
		}
	}
	return false
}
