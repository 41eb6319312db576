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

// AsidePrefix makes the id of what was set aside, with its stamp.
const AsidePrefix = "aside-"

const removingInfix = ".removing-" // set aside, and to be deleted

// AsideDir is where the data directory went that was set aside under stamp.
func (in Instance) AsideDir(stamp string) string { return in.DataDir + asideInfix + stamp }

// RemoveAside takes what was set aside under stamp out of the list; SweepAside deletes it.
func RemoveAside(in Instance, stamp string) error {
	stamps, err := AsideStamps(in)
	if err != nil || !slices.Contains(stamps, stamp) {
		return err
	}
	for _, dir := range in.dirs() {
		err := os.Rename(dir+asideInfix+stamp, dir+removingInfix+stamp)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing what was set aside: %w", err)
		}
	}
	return nil
}

// SweepAside deletes what RemoveAside took away.
func SweepAside(in Instance) (err error) {
	for _, dir := range in.dirs() {
		gone, _ := filepath.Glob(dir + removingInfix + "*")
		for _, path := range gone {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// AsideBytes is the size of what was set aside under stamp. It looks at every file.
func AsideBytes(in Instance, stamp string) (bytes int64) {
	for _, dir := range in.dirs() {
		_ = filepath.WalkDir(dir+asideInfix+stamp, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					bytes += info.Size()
				}
			}
			return nil // what cannot be read is not counted
		})
	}
	return bytes
}

// AsideStamps lists what was set aside, oldest first; the stamps sort by time.
func AsideStamps(in Instance) ([]string, error) {
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
