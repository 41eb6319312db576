package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgherd/pgherd/internal/core"
)

const (
	identityFile   = "cluster.json"
	unfinishedFile = "unfinished"
)

// Identity (STATE_DIR/cluster.json) says which member of which cluster this state
// directory belongs to. `init` and `join` write it; nobody changes it afterwards.
type Identity struct {
	ClusterID string              `json:"cluster_id"` // UUID
	Cluster   string              `json:"cluster"`    // its name, for people
	Member    string              `json:"member"`
	Ordinal   int                 `json:"ordinal"`         // order of joining, from 1
	First     bool                `json:"first"`           // this member makes the cluster's records at its first start
	Seeds     []core.MemberRecord `json:"seeds,omitempty"` // all members at the time of joining, this one included
	Spec      string              `json:"spec,omitempty"`  // YAML; first member only: the spec to begin with
	Created   string              `json:"created"`         // RFC 3339, for people only
}

// ErrUnfinished: `init` or `join` was interrupted; it is to be repeated.
var ErrUnfinished = errors.New("`pgherd init` or `pgherd join` did not finish here")

// LoadIdentity reads the identity. Without one the error is fs.ErrNotExist, after
// an interrupted init or join ErrUnfinished (both wrapped).
func LoadIdentity(stateDir string) (Identity, error) {
	if Unfinished(stateDir) {
		return Identity{}, fmt.Errorf("%s: %w", stateDir, ErrUnfinished)
	}
	path := filepath.Join(stateDir, identityFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return Identity{}, fmt.Errorf("the member's identity cannot be read: %w", err)
	}
	var id Identity
	if err := json.Unmarshal(data, &id); err != nil {
		return Identity{}, fmt.Errorf("%s: %w", path, err)
	}
	if id.ClusterID == "" || id.Member == "" || id.Ordinal < 1 {
		return Identity{}, fmt.Errorf("%s: cluster_id, member or ordinal is missing", path)
	}
	return id, nil
}

// HasIdentity says whether the state directory belongs to a member already. What
// cannot be read counts as one: absence is what permits making a new cluster.
func HasIdentity(stateDir string) bool {
	_, err := os.Lstat(filepath.Join(stateDir, identityFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// Save writes the identity with mode 0600, atomically.
func (id Identity) Save(stateDir string) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(stateDir, identityFile), append(data, '\n'), 0o600)
}

// Unfinished says whether an init or join was interrupted in this state directory.
func Unfinished(stateDir string) bool {
	_, err := os.Lstat(filepath.Join(stateDir, unfinishedFile))
	return err == nil
}

// BeginSetup marks the state directory as unfinished until EndSetup. note says what
// is being made (the path of pgherd.yaml); SetupNote gives it back after a crash.
func BeginSetup(stateDir, note string) error {
	return WriteFile(filepath.Join(stateDir, unfinishedFile), []byte(note), 0o600)
}

// SetupNote gives the note of an interrupted setup, or "".
func SetupNote(stateDir string) string {
	data, _ := os.ReadFile(filepath.Join(stateDir, unfinishedFile))
	return string(data)
}

// EndSetup declares everything written.
func EndSetup(stateDir string) error {
	return os.Remove(filepath.Join(stateDir, unfinishedFile))
}

// WriteFile replaces path by a file with this content: after a crash it is the old
// or the new one, never half of one.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	if err = f.Chmod(mode); err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
