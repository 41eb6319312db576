package postgres

import (
	"fmt"
	"os"
	"strings"

	"github.com/pgherd/pgherd/internal/wal"
)

// RecoveringAt tells how far a recovery has come under a postmaster that lets nobody in yet:
// to the beginning of the segment that its startup process names in its title. There is no
// other word of it: crash recovery writes nothing to the control file. 0: not known.
func RecoveringAt(postmaster int, dataDir string) wal.LSN {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", postmaster, postmaster))
	if err != nil {
		return 0
	}
	for _, pid := range strings.Fields(string(children)) {
		title, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err != nil {
			continue
		}
		if segment, ok := recoveringSegment(string(title)); ok {
			control, err := ReadControl(dataDir)
			if err != nil {
				return 0
			}
			at, _ := parseSegment(segment, control.WalSegmentBytes)
			return at.Start
		}
	}
	return 0
}

// recoveringSegment finds the segment in "postgres: main: startup recovering 00000001000000000000000A".
func recoveringSegment(title string) (string, bool) {
	_, rest, ok := strings.Cut(title, "startup recovering ")
	if !ok || !strings.HasPrefix(title, "postgres:") || len(rest) < 24 {
		return "", false
	}
	return rest[:24], true
}
