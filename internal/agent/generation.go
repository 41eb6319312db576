package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/pgherd/pgherd/internal/core"
)

const generationFile = "generation.json"

// generation (STATE_DIR/generation.json) says which store this member belongs to: 0, without a file, is the
// one that the cluster was founded with, and each `pgherd recover` makes another. It only
// grows. Writing this one file is the moment from which the member has no part in an older
// store any more: keys, directory and raft cluster are named after it.
type generation struct {
	Number  uint64              `json:"generation"`
	Founder string              `json:"founder,omitempty"` // who makes this store; empty: it exists already
	Members []core.MemberRecord `json:"members,omitempty"` // where to find it
	// Of the founder only: the first records, and how long to wait before they are written.
	Records map[string]json.RawMessage `json:"records,omitempty"`
	WaitMS  int64                      `json:"wait_ms,omitempty"`
	// Previous is where to go back to when the founder never makes this one.
	Previous *generation `json:"previous,omitempty"`
}

func loadGeneration(stateDir string) (g generation, err error) {
	path := filepath.Join(stateDir, generationFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &g)
	}
	if err == nil && g.Number == 0 {
		err = errors.New("no generation is named")
	}
	if err != nil { // what cannot be read must not count as the oldest store
		return g, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// previous is what a member that leaves g may go back to. A founder that leaves before it has founded never
// does so afterwards: those who had promised themselves to it may have gone back as well.
func (g generation) previous(unfounded bool) *generation {
	if unfounded && g.Previous != nil {
		return g.Previous
	}
	if unfounded {
		return &generation{}
	}
	g.Records, g.WaitMS = nil, 0
	return &g
}

func (g generation) save(stateDir string) error {
	if g.Number == 0 { // gone back to where there was no file
		err := os.Remove(filepath.Join(stateDir, generationFile))
		return errors.Join(err, syncDir(stateDir))
	}
	data, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(stateDir, generationFile), append(data, '\n'), 0o600)
}

// suffix tells what belongs to a generation from what belongs to others.
func (g generation) suffix() string {
	if g.Number == 0 {
		return ""
	}
	return "-g" + strconv.FormatUint(g.Number, 10)
}

// prefix goes before each key. A write that was meant for an older store can so not touch a
// record of a newer one, although both count their revisions from 1.
func (g generation) prefix(base string) string {
	if g.Number == 0 {
		return base
	}
	return base + "/g" + strconv.FormatUint(g.Number, 10)
}

// StorePrefix is where the records of this state directory's cluster are, in its store.
func StorePrefix(base, stateDir string) (string, error) {
	id, err := LoadIdentity(stateDir)
	if err != nil {
		return "", err
	}
	g, err := loadGeneration(stateDir)
	return g.prefix(base + "/" + id.ClusterID), err
}
