package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pgherd/pgherd/internal/wal"
)

// reservedText is the content of a history file that only takes a number: PostgreSQL skips
// the comment, finds a timeline without ancestors, and follows it nowhere.
const reservedText = "# pgherd: this number belongs to a promotion on another member\n"

const reservedMax = 10_000 // so many promotions without one that this member saw are a broken record

// ReserveTimelines makes the next promotion begin timeline want: PostgreSQL takes the number
// after the newest history file in an unbroken row. To be called right before the
// promotion, of a standby that streams from nobody: a standby that was started with such files
// beside it would look for timelines that it cannot have (see DropReserved).
func ReserveTimelines(in Instance, want wal.Timeline) error {
	c, err := ReadControl(in.DataDir)
	if err != nil {
		return err
	}
	first := max(c.Timeline, c.MinRecoveryTimeline) + 1
	if want < first || want-first > reservedMax {
		return fmt.Errorf("timeline %d cannot follow timeline %d", want, first-1)
	}
	// A promotion that came half through may have left the number behind: PostgreSQL would take the
	// next one, which is not ours.
	newest, err := NewestHistory(in)
	if err != nil {
		return err
	}
	if newest >= want {
		return fmt.Errorf("timeline %d is not free: there is a history of timeline %d", want, newest)
	}
	for tl := first; tl < want; tl++ {
		path := historyFile(in, tl)
		there, err := exists(path)
		if err == nil && !there {
			_, err = writeFile(path, []byte(reservedText))
		}
		if err != nil {
			return fmt.Errorf("reserving timeline %d: %w", tl, err)
		}
	}
	return nil
}

// DropReserved takes back what a promotion that never came has reserved. A reserved number
// below a real timeline stays: the row must not be broken under it.
func DropReserved(in Instance) error {
	files, err := histories(in)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !f.reserved {
			return nil
		}
		if err := os.Remove(f.path); err != nil {
			return fmt.Errorf("timeline history: %w", err)
		}
	}
	return nil
}

// NewestHistory gives the newest timeline that a history file tells of, reserved ones left out;
// 1 when there is none. Archive recovery goes for that timeline, whatever the control file says.
func NewestHistory(in Instance) (wal.Timeline, error) {
	files, err := histories(in)
	for _, f := range files {
		if !f.reserved {
			return f.timeline, err
		}
	}
	return 1, err
}

type historyOnDisk struct {
	path     string
	timeline wal.Timeline
	reserved bool
}

// histories lists the history files, the newest timeline first.
func histories(in Instance) (files []historyOnDisk, err error) {
	paths, err := filepath.Glob(filepath.Join(in.DataDir, "pg_wal", "*.history"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	for _, path := range slices.Backward(paths) {
		tl, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), ".history"), 16, 32)
		if err != nil {
			continue // none of PostgreSQL's
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("timeline history: %w", err)
		}
		files = append(files, historyOnDisk{path, wal.Timeline(tl), strings.HasPrefix(string(text), reservedText)})
	}
	return files, nil
}

func historyFile(in Instance, tl wal.Timeline) string {
	return filepath.Join(in.DataDir, "pg_wal", fmt.Sprintf("%08X.history", uint32(tl)))
}
