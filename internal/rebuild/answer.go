package rebuild

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/wal"
)

// Raw is a record as it is in the store.
type Raw = json.RawMessage

// Saved is what a member keeps of the store: the records as they were, but none that only
// made sense at the moment (operation, requests, join tokens).
type Saved struct {
	Generation uint64         `json:"generation,omitempty"`
	Revision   int64          `json:"revision"`
	SavedAt    string         `json:"saved_at"` // RFC 3339, for people only
	Voters     []string       `json:"voters,omitempty"`
	Entries    map[string]Raw `json:"entries"`
}

// Lasting says whether a record is kept.
func Lasting(key string) bool {
	return key != records.KeyOperation && !slices.ContainsFunc([]string{records.RequestPrefix, records.TokenPrefix, records.PoolerTokenPrefix},
		func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// View decodes the records.
func (s Saved) View() (core.StoreView, error) {
	snapshot := store.Snapshot{Revision: s.Revision, Entries: map[string]store.Entry{}}
	for key, value := range s.Entries {
		snapshot.Entries[key] = store.Entry{Value: value, Revision: s.Revision}
	}
	return records.Decode(snapshot, "")
}

// names are what follows a prefix in the keys, sorted.
func (s Saved) names(prefix string) (list []string) {
	for key := range s.Entries {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// newer: a later store first, then the later moment of the same store.
func (s Saved) newer(than Saved) bool {
	if s.Generation != than.Generation {
		return s.Generation > than.Generation
	}
	return s.Revision > than.Revision
}

// Share is the state of a member's share of the store.
type Share string

// Shares. Only one that answers is part of a quorum now; "silent" may be again when
// others come back.
const (
	ShareAnswers  Share = "answers"  // the store answers here: nothing is lost
	ShareSilent   Share = "silent"   // it has data, but no quorum
	ShareLost     Share = "lost"     // there is no data
	ShareRetired  Share = "retired"  // given up for a newer generation that is not there yet
	ShareExternal Share = "external" // the store is elsewhere and does not answer
	ShareEmpty    Share = "empty"    // the store elsewhere answers, and knows nothing of this cluster
)

// Answer is what one member says that it has.
type Answer struct {
	Name      string `json:"name"`
	Ordinal   int    `json:"ordinal"`
	Witness   bool   `json:"witness,omitempty"`
	ClusterID string `json:"cluster_id"`

	Generation uint64 `json:"generation,omitempty"` // of the store that it believes, or is promised to
	Founder    string `json:"founder,omitempty"`    // who founds that generation, if anybody does
	Share      Share  `json:"share"`

	Saved    *Saved        `json:"saved,omitempty"` // the newest that it has
	Data     core.Data     `json:"data"`
	Instance core.Instance `json:"instance"`
	Term     uint64        `json:"term"` // newest that it, or its warden, has seen
}

// Position is how far its data reaches: what PostgreSQL says, or the last record on disk.
func (a Answer) Position() wal.Position {
	if a.Instance.State == core.StateStopped {
		return wal.Position{Timeline: a.Instance.Timeline, LSN: a.Instance.LastRecord}
	}
	return a.Instance.Position()
}

// usable: there is data of this cluster that PostgreSQL could be started on.
func (a Answer) usable(c core.ClusterRecord) bool {
	return !a.Witness && a.Data.State == core.DataPresent && a.Data.ClusterID == c.ID && a.Data.SystemID == c.SystemID
}
