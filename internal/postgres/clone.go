package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func cloneOf(in Instance) build { return build{in, ".clone"} }

// CloneReady tells whether a whole clone waits for InstallClone.
func CloneReady(in Instance) (bool, error) { return cloneOf(in).whole() }

// InstallClone puts a whole clone in place; the server must be stopped. The old
// data directory (and WAL directory) is renamed aside to
// DataDir.aside-YYYYMMDDTHHMMSSZ, never deleted: it may hold commits that exist
// nowhere else. fs.ErrNotExist when there is no whole clone.
func InstallClone(in Instance) error {
	done, err := cloneOf(in).install()
	if err != nil {
		return err
	}
	if !done {
		return fmt.Errorf("no finished clone at %s: %w", cloneOf(in).dataDir(), fs.ErrNotExist)
	}
	return clearRewinding(in)
}

// FinishClone is to be called when the agent starts, before anything looks at the
// data directory: it ends an InstallClone that a crash interrupted and removes a
// clone of which the copying was interrupted. A whole clone that was not being
// installed stays (CloneReady).
func FinishClone(in Instance) error {
	b := cloneOf(in)
	done, err := b.finish()
	if err != nil {
		return err
	}
	if done {
		return clearRewinding(in)
	}
	whole, err := b.whole()
	if err != nil || whole {
		return err
	}
	there, err := exists(b.dataDir())
	if err != nil || !there {
		return err
	}
	return b.discard()
}

// PruneAside removes all but the newest keep directories that were set aside, with
// their WAL directories.
func PruneAside(in Instance, keep int) error {
	stamps, err := asideStamps(in)
	if err != nil {
		return err
	}
	for _, stamp := range stamps[:max(0, len(stamps)-max(0, keep))] {
		for _, dir := range in.dirs() {
			if err := os.RemoveAll(dir + asideInfix + stamp); err != nil {
				return fmt.Errorf("pruning: %w", err)
			}
		}
	}
	return nil
}

// asideStamps lists what was set aside, oldest first; the stamps sort by time.
func asideStamps(in Instance) ([]string, error) {
	var stamps []string
	for _, dir := range in.dirs() {
		entries, err := os.ReadDir(filepath.Dir(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("pruning: %w", err)
		}
		for _, e := range entries {
			if stamp, ok := strings.CutPrefix(e.Name(), filepath.Base(dir)+asideInfix); ok {
				stamps = append(stamps, stamp)
			}
		}
	}
	slices.Sort(stamps)
	return slices.Compact(stamps), nil
}
