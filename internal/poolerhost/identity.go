package poolerhost

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgherd/pgherd/internal/core"
)

// identityFile has the name of an agent's on purpose: neither takes the other's state directory for its own, or for empty.
const (
	identityFile   = "cluster.json"
	unfinishedFile = "unfinished" // so does the join's mark
)

// Identity (STATE_DIR/cluster.json) says which host of which cluster this is, and whom to ask. The join writes it, and
// the running host keeps its members up to date.
type Identity struct {
	ClusterID string              `json:"cluster_id"` // UUID
	Cluster   string              `json:"cluster"`    // its name, for people
	Pooler    string              `json:"pooler"`
	Members   []core.MemberRecord `json:"members"`
}

// LoadIdentity reads it. Without one the error is fs.ErrNotExist (wrapped).
func LoadIdentity(stateDir string) (id Identity, err error) {
	if _, err := os.Lstat(filepath.Join(stateDir, unfinishedFile)); err == nil {
		return id, fmt.Errorf("%s: `pgherd pooler join` did not finish here; repeat it with a new token", stateDir)
	}
	path := filepath.Join(stateDir, identityFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return id, fmt.Errorf("this host's identity cannot be read: %w", err)
	}
	if err := json.Unmarshal(data, &id); err != nil {
		return id, fmt.Errorf("%s: %w", path, err)
	}
	if id.ClusterID == "" || id.Pooler == "" || len(id.Members) == 0 {
		return id, fmt.Errorf("%s is not of a host that only pools: cluster_id, pooler or members is missing", path)
	}
	return id, nil
}

// Save writes it with mode 0600: after a crash it is the old or the new one.
func (id Identity) Save(stateDir string) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(stateDir, ".cluster-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(stateDir, identityFile))
	}
	return err
}
