package observe

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

const lastRecordLimit = 5 * time.Minute

const filesAge = 5 * time.Second // for what changes slowly and costs a directory or a process to read

// fileCache spares reading slow things every tick.
type fileCache struct {
	mu        sync.Mutex
	timeline  wal.Timeline
	past      wal.History
	oldestLSN wal.LSN
	oldestAt  time.Time
	last      lastKnown
}

// forget drops what belongs to data that may have been replaced.
func (c *fileCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timeline, c.past, c.oldestAt, c.last = 0, nil, time.Time{}, lastKnown{}
}

func (c *fileCache) history(dataDir string, tl wal.Timeline) wal.History {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tl != c.timeline {
		h, err := postgres.History(dataDir, tl)
		if err != nil {
			return nil // not there yet: an empty history makes nobody an ancestor
		}
		c.timeline, c.past = tl, h
	}
	return c.past
}

func (c *fileCache) oldest(dataDir string) wal.LSN {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.oldestAt) > filesAge {
		if lsn, _, err := postgres.OldestSegment(dataDir); err == nil {
			c.oldestLSN, c.oldestAt = lsn, time.Now()
		}
	}
	return c.oldestLSN
}

// lastRecord finds where stopped WAL ends. It reads all WAL since the last checkpoint,
// so it is kept until the control file changes. Where PostgreSQL is known to have ended as it was told to, nothing follows its
// shutdown checkpoint, and nothing is read.
func (c *fileCache) lastRecord(ctx context.Context, in postgres.Instance, asTold bool) (wal.Timeline, wal.LSN) {
	c.mu.Lock()
	defer c.mu.Unlock()
	control, err := postgres.ReadControl(in.DataDir)
	if err != nil {
		return 0, 0
	}
	if c.last.control == control && c.last.record != 0 {
		return c.last.timeline, c.last.record
	}
	c.last = lastKnown{control: control, timeline: control.Timeline}
	if asTold && control.State == postgres.StateShutDown {
		c.last.record = control.Checkpoint
		return c.last.timeline, c.last.record
	}
	from := control.Checkpoint
	if control.MinRecoveryTimeline > control.Timeline {
		c.last.timeline, from = control.MinRecoveryTimeline, control.MinRecovery
	}
	record, err := postgres.LastRecord(ctx, in, from, c.last.timeline)
	if err != nil && from == control.MinRecovery && from != 0 {
		record = from - 1 // nothing follows: the last record ends at from
	}
	c.last.record = record
	return c.last.timeline, record
}

// recorded is what lastRecord found before the start that is under way: crash recovery begins where it did then.
func (c *fileCache) recorded(redo wal.LSN) wal.LSN {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.control.Redo != redo {
		return 0
	}
	return c.last.record
}

func limitsOf(settings map[string]string) map[string]int {
	out := map[string]int{}
	for _, name := range spec.OrderedParams {
		if n, err := strconv.Atoi(settings[name]); err == nil {
			out[name] = n
		}
	}
	return out
}

// MountCheck knows on which mount point the data directory was when it was last
// seen; an unmounted volume must not look like missing data.
type MountCheck struct {
	DataDir string
	Mount   string // recorded mount point; empty when it was on the root's volume or never seen
}

// Missing says what is wrong when the recorded mount point is no mount point now.
func (m MountCheck) Missing() string {
	if m.Mount == "" || m.Mount == "/" {
		return ""
	}
	if now := MountPoint(m.DataDir); now != m.Mount {
		return fmt.Sprintf("%s was on the volume mounted at %s, which is not mounted now", m.DataDir, m.Mount)
	}
	return ""
}

// MountPoint finds the directory at or above path where its file system is mounted,
// starting at the nearest directory that exists.
func MountPoint(path string) string {
	var here, above syscall.Stat_t
	for syscall.Stat(path, &here) != nil {
		if path == "/" {
			return "/"
		}
		path = filepath.Dir(path)
	}
	for path != "/" {
		if syscall.Stat(filepath.Dir(path), &above) != nil || above.Dev != here.Dev {
			return path
		}
		path = filepath.Dir(path)
	}
	return "/"
}
