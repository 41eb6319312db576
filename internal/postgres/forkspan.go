package postgres

import (
	"fmt"
	"slices"

	"github.com/pgherd/pgherd/internal/wal"
)

// forkSpan is the part of one timeline that belongs to a fork. to is the greatest position for the
// last timeline, whose end nobody knows before it is read.
type forkSpan struct {
	timeline wal.Timeline
	from, to wal.LSN
}

const lsnOpen = ^wal.LSN(0)

// forkSpans lists what follows the fork along our own history.
func forkSpans(o ForkOptions, miss func(string, ...any)) (spans []forkSpan) {
	history, err := History(o.Instance.DataDir, o.Timeline)
	if err != nil && o.From.Timeline != o.Timeline {
		miss("the history of timeline %d cannot be read: %v", o.Timeline, err)
	}
	from := o.From.LSN
	for _, s := range append(history, wal.Switch{Timeline: o.Timeline, LSN: lsnOpen}) {
		if s.Timeline < o.From.Timeline {
			continue
		}
		if s.Timeline > o.From.Timeline && len(spans) == 0 && o.From.LSN != 0 {
			miss("timeline %d is not in the history of timeline %d", o.From.Timeline, o.Timeline)
		}
		if from < s.LSN {
			spans = append(spans, forkSpan{s.Timeline, from, s.LSN})
		}
		from = s.LSN
	}
	return spans
}

// walRun is a range whose files are all there. gap says what is missing before it.
type walRun struct {
	from, to wal.LSN
	gap      string
}

// runs cuts the span into what is there. Where the last one ends is not known yet: a later run of
// it may be nothing but old files that wait for new use. A span that begins nowhere (no common
// position is known) begins with the oldest file.
func (sp forkSpan) runs(found []segment, bytes int64, last bool, miss func(string, ...any)) (runs []walRun) {
	size := wal.LSN(bytes)
	starts := sp.starts(found, size)
	if sp.from == 0 {
		if len(starts) > 0 {
			sp.from = starts[0]
		}
		miss("no position is known that this history and the primary's have in common: this is the WAL that is left")
	}
	for at := sp.from - sp.from%size; at < sp.to; {
		i, ok := slices.BinarySearch(starts, at)
		if i == len(starts) || starts[i] >= sp.to {
			if len(runs) == 0 || !last {
				miss("the WAL of timeline %d from %s on is not there any more", sp.timeline, max(at, sp.from))
			}
			return runs
		}
		run := walRun{}
		if !ok {
			run.gap = fmt.Sprintf("the WAL of timeline %d from %s to %s is not there any more", sp.timeline, max(at, sp.from), starts[i])
			at = starts[i]
		}
		run.from = max(at, sp.from)
		for ; i < len(starts) && starts[i] == at && at < sp.to; i++ {
			at += size
		}
		run.to = min(at, sp.to)
		runs = append(runs, run)
	}
	return runs
}

// starts lists where the timeline's files begin, in order.
func (sp forkSpan) starts(found []segment, size wal.LSN) (starts []wal.LSN) {
	for _, s := range found {
		if s.Timeline == sp.timeline && s.Start+size > sp.from {
			starts = append(starts, s.Start)
		}
	}
	slices.Sort(starts)
	return starts
}

// files names the segments from one position to another.
func (sp forkSpan) files(found []segment, bytes int64, from, to wal.LSN) (names []string) {
	size := wal.LSN(bytes)
	for at := from - from%size; at <= to; at += size {
		if slices.Contains(found, segment{sp.timeline, at}) {
			names = append(names, segmentName(segment{sp.timeline, at}, bytes))
		}
	}
	return names
}

// segmentName is the inverse of parseSegment.
func segmentName(s segment, bytes int64) string {
	return fmt.Sprintf("%08X%08X%08X", uint32(s.Timeline), uint32(s.Start>>32), uint32(s.Start)/uint32(bytes))
}
