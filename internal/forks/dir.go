package forks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names in the directory of forks (STATE_DIR/forks).
const (
	SummaryFile = "summary.json"
	Making      = ".making" // a fork that is being saved
	removing    = ".removing-"
)

// DirName is where a member with this state directory keeps its forks.
func DirName(stateDir string) string { return filepath.Join(stateDir, "forks") }

// List gives the saved forks, oldest first. A directory whose summary cannot be read is listed
// with what is wrong: it may be the only copy of something.
func List(dir string) ([]Summary, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("saved forks: %w", err)
	}
	var list []Summary
	for _, e := range entries { // sorted by name, so by time
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			list = append(list, read(dir, e.Name()))
		}
	}
	return list, nil
}

func read(dir, id string) (s Summary) {
	text, err := os.ReadFile(filepath.Join(dir, id, SummaryFile))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		s = Summary{Missing: []string{"its summary cannot be read: " + err.Error()}}
	}
	s.ID = id
	return s
}

// Write puts the summary into the fork's directory at, all at once and durably.
func Write(at string, s Summary) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(at, SummaryFile)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return Sync(at)
}

// Sync makes a directory's entries durable.
func Sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Finish gives the fork in dir/.making its name, from which on it counts as saved.
func Finish(dir string, s *Summary) error {
	stem := fmt.Sprintf("%s-tl%d", s.SavedAt.UTC().Format(Stamp), s.Timeline)
	s.ID = stem
	for i := 2; ; i++ {
		if _, err := os.Lstat(filepath.Join(dir, s.ID)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		s.ID = fmt.Sprintf("%s-%d", stem, i)
	}
	at := filepath.Join(dir, Making)
	if err := Write(at, *s); err != nil {
		return err
	}
	if err := os.Rename(at, filepath.Join(dir, s.ID)); err != nil {
		return err
	}
	return Sync(dir)
}

// Stamp is the time in a name: names sort by it.
const Stamp = "20060102T150405Z"

// Remove takes the fork out of the list; Sweep frees its space, which may take long.
func Remove(dir, id string) error {
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return fmt.Errorf("%q is no fork", id)
	}
	err := os.Rename(filepath.Join(dir, id), filepath.Join(dir, removing+id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return Sync(dir)
}

// Sweep deletes what was removed.
func Sweep(dir string) error {
	gone, err := filepath.Glob(filepath.Join(dir, removing+"*"))
	for _, path := range gone {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// SizeOf is the space that the fork's files take.
func SizeOf(dir, id string) (bytes int64) {
	entries, _ := os.ReadDir(filepath.Join(dir, id))
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// Overdue names the forks that are older than keep, and then the oldest of those that together
// are larger than bytesMax. The newest is never dropped for its size: one that is larger than
// all that may be kept is still the only evidence of what happened last.
func Overdue(list []Summary, sizes func(id string) int64, keep time.Duration, bytesMax int64, now time.Time) (ids []string) {
	var total int64
	for i, s := range slices.Backward(list) {
		total += sizes(s.ID)
		old := !s.SavedAt.IsZero() && now.Sub(s.SavedAt) > keep
		if old || total > bytesMax && i < len(list)-1 {
			ids = append(ids, s.ID)
		}
	}
	slices.Reverse(ids)
	return ids
}
