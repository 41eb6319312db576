package embed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged is the error of a start that failed because of what is in the data directory. Trying again
// does not help, and the process must end, as after ErrFatal.
var ErrDamaged = errors.New("the data of this member's share of the store is damaged")

// What etcd says of damaged files: of its log, its snapshots, its database.
var signsOfDamage = []string{"crc mismatch", "wal:", "walpb:", "cannot be repaired", "proto:", "unexpected EOF", "snap:", "database snapshot file", "invalid database", "checksum error", "file size too small", "page "}

// What says that the machine is at fault. The data may be good: a share that is given up without need is a
// vote less.
var signsOfTrouble = []string{"no space left", "permission denied", "input/output error", "too many open files", "read-only file system", "address already in use", "cannot allocate", "quota exceeded"}

// judgeStart tells a start that can never succeed from one that may.
func judgeStart(err error) error {
	text := err.Error()
	says := func(signs []string) bool {
		return slices.ContainsFunc(signs, func(sign string) bool { return strings.Contains(text, sign) })
	}
	if says(signsOfTrouble) || !says(signsOfDamage) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// readable walks through the database as etcd would. A damaged page makes bbolt panic, in etcd's start on a
// goroutine of its own, which nobody could catch.
func (c Config) readable() (err error) {
	path := filepath.Join(c.Dir, "member", "snap", "db")
	if _, err := os.Stat(path); err != nil {
		return nil // etcd says what it thinks of a missing one
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %s: %v", ErrDamaged, path, p)
		}
	}()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	switch {
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum):
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	case err != nil:
		return nil // in use, or not to be opened: etcd says so in its own words
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return b.ForEach(func(_, _ []byte) error { return nil }) })
	})
}

// SetAside renames the data directory, so that the member can join anew. Nothing is removed.
func (c Config) SetAside(why string) (to string, err error) {
	to = c.Dir + "." + why + "-" + time.Now().UTC().Format("20060102T150405Z")
	return to, os.Rename(c.Dir, to)
}
