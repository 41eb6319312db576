package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	paths, err := filepath.Glob(filepath.Join(in.DataDir, "pg_wal", "*.history"))
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, path := range slices.Backward(paths) {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("timeline history: %w", err)
		}
		if !strings.HasPrefix(string(text), reservedText) {
			return nil
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("timeline history: %w", err)
		}
	}
	return nil
}

func historyFile(in Instance, tl wal.Timeline) string {
	return filepath.Join(in.DataDir, "pg_wal", fmt.Sprintf("%08X.history", uint32(tl)))
}
