package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/rebuild"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

const (
	keptFile  = "records.json"
	keptPause = 250 * time.Millisecond // between a change and its writing
)

// kept is this member's copy of the store (STATE_DIR/records.json), from which a lost one can be
// rebuilt. It is written when something changes that would matter then, which beats and
// positions do not. A disk that hangs holds up the copy and nothing else.
type kept struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	mu     sync.Mutex
	saved  *rebuild.Saved
	sig    string
	seenAt time.Time // of this process: when the store answered last
	empty  bool      // it answered, and knew nothing of this cluster
	dirty  chan struct{}
}

func openKept(stateDir string, log *slog.Logger) *kept {
	k := &kept{path: filepath.Join(stateDir, keptFile), log: log, now: time.Now, dirty: make(chan struct{}, 1)}
	data, err := os.ReadFile(k.path)
	if err != nil {
		return k
	}
	var s rebuild.Saved
	if err := json.Unmarshal(data, &s); err != nil {
		log.Warn("the copy of the store cannot be read", "file", k.path, "error", err)
		return k
	}
	k.saved, k.sig = &s, signatureOf(s)
	return k
}

// see takes note of a snapshot of the store that this member belongs to.
func (k *kept) see(g uint64, s store.Snapshot) {
	entries := map[string]json.RawMessage{}
	for key, e := range s.Entries {
		if rebuild.Lasting(key) && json.Valid(e.Value) {
			entries[key] = e.Value
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	next := rebuild.Saved{Generation: g, Revision: s.Revision, SavedAt: k.now().UTC().Format(time.RFC3339), Entries: entries}
	if was := k.saved; was != nil && was.Generation == g {
		if was.Revision > s.Revision {
			return // an older answer came later
		}
		next.Voters = was.Voters
	}
	k.seenAt, k.empty = k.now(), false
	k.replace(next)
}

// vote takes note of who votes in the store; names are sorted.
func (k *kept) vote(names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.saved == nil || slices.Equal(k.saved.Voters, names) {
		return
	}
	next := *k.saved
	next.Voters = names
	k.replace(next)
}

func (k *kept) replace(next rebuild.Saved) {
	sig := signatureOf(next)
	if sig == k.sig && k.saved != nil {
		next.SavedAt = k.saved.SavedAt
	} else {
		k.sig = sig
		select {
		case k.dirty <- struct{}{}:
		default:
		}
	}
	k.saved = &next
}

// signatureOf is equal for copies that would rebuild the same store.
func signatureOf(s rebuild.Saved) string {
	entries := maps.Clone(s.Entries)
	var l core.LeaseRecord
	if json.Unmarshal(entries[records.KeyLease], &l) == nil {
		l.Beat, l.LSN = 0, 0
		entries[records.KeyLease], _ = json.Marshal(l)
	}
	data, _ := json.Marshal(rebuild.Saved{Generation: s.Generation, Voters: s.Voters, Entries: entries})
	return string(data)
}

// forget says that the store answered without any record of this cluster.
func (k *kept) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.empty = true
}

// newest is the copy; nil when there is none. Nobody may change it.
func (k *kept) newest() *rebuild.Saved {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.saved
}

// of says whether the store of this generation was ever seen.
func (k *kept) of(g uint64) bool {
	s := k.newest()
	return s != nil && s.Generation == g
}

// silence is for how long the store has not answered this process; empty: it answers without records.
func (k *kept) silence(since time.Time) (d time.Duration, empty bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seenAt.After(since) {
		since = k.seenAt
	}
	return k.now().Sub(since), k.empty
}

// view is the copy in core's words.
func (k *kept) view() core.StoreView {
	if s := k.newest(); s != nil {
		if v, err := s.View(); err == nil {
			return v
		}
	}
	return core.StoreView{}
}

// keep writes the copy whenever it changes.
func (k *kept) keep(ctx context.Context) error {
	for {
		select {
		case <-k.dirty:
			select { // changes come in clusters, and in those the disk has better things to do
			case <-time.After(keptPause):
			case <-ctx.Done():
			}
			if err := k.write(); err != nil {
				k.log.Warn("the copy of the store could not be written", "error", err)
			}
		case <-ctx.Done():
			select {
			case <-k.dirty:
				return k.write()
			default:
				return nil
			}
		}
	}
}

func (k *kept) write() error {
	s := k.newest()
	if s == nil {
		return errors.New("there is nothing to write")
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return WriteFile(k.path, append(data, '\n'), 0o600)
}
