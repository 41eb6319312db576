package patroni

import (
	"time"

	"github.com/pgherd/pgherd/internal/wal"
)

// Opened is when a member accepted its first write on a timeline.
type Opened struct {
	Timeline wal.Timeline
	At       time.Time
	Member   string
}

// reason is what PostgreSQL writes into the history file for each promotion.
const reason = "no recovery target specified"

// HistoryOf is GET /history: for each timeline that was left, its number, the position in bytes at which it was left, the
// reason, and where it is known when the next one began and who began it.
func HistoryOf(h wal.History, current wal.Timeline, opened []Opened) [][]any {
	lines := [][]any{}
	for i, left := range h {
		next := current
		if i+1 < len(h) {
			next = h[i+1].Timeline
		}
		line := []any{left.Timeline, int64(left.LSN), reason}
		for _, o := range opened {
			if o.Timeline == next {
				line = append(line[:3], stampISO(o.At), o.Member)
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func stampISO(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000-07:00") }
