package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Mark ties a data directory to a cluster and a member. Without it "no data
// directory found" (an unmounted volume, say) could be taken for "initialise".
type Mark struct {
	ClusterID string `json:"cluster_id"`
	Member    string `json:"member"`
	SystemID  string `json:"system_id"`
}

// DirState is what stands at the place of the data directory.
type DirState string

// The states of a data directory.
const (
	DirAbsent  DirState = "absent"  // nothing there
	DirEmpty   DirState = "empty"   // an empty directory (lost+found does not count)
	DirForeign DirState = "foreign" // something that is no PostgreSQL data directory
	DirPresent DirState = "present" // a PostgreSQL data directory
)

// DataState looks at the data directory. version is PG_VERSION ("15") when
// present; mark is nil when there is none.
func DataState(in Instance) (state DirState, version string, mark *Mark, err error) {
	entries, err := os.ReadDir(in.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return DirAbsent, "", nil, nil
	}
	if err != nil {
		return "", "", nil, fmt.Errorf("data directory: %w", err)
	}
	if dirEmpty(entries) {
		return DirEmpty, "", nil, nil
	}
	text, err := os.ReadFile(in.path("PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return DirForeign, "", nil, nil
	}
	if err != nil {
		return "", "", nil, fmt.Errorf("data directory: %w", err)
	}
	mark, err = ReadMark(in)
	if errors.Is(err, fs.ErrNotExist) {
		mark, err = nil, nil
	}
	return DirPresent, strings.TrimSpace(string(text)), mark, err
}

func dirEmpty(entries []fs.DirEntry) bool {
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return false
		}
	}
	return true
}

// ReadMark reads the mark of a data directory; fs.ErrNotExist when there is none.
func ReadMark(in Instance) (*Mark, error) { return readMarkFile(in.path(MarkFile)) }

// WriteMark writes the mark, durably.
func WriteMark(in Instance, m Mark) error { return writeMarkFile(in.path(MarkFile), m) }

func readMarkFile(path string) (*Mark, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("mark: %w", err)
	}
	var m Mark
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("mark %s: %w", path, err)
	}
	return &m, nil
}

func writeMarkFile(path string, m Mark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	_, err = writeFile(path, append(text, '\n'))
	return err
}
