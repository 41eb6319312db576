package embed

import (
	"errors"
	"fmt"
	"testing"
)

// A share that cannot be read is told from a machine that is in trouble: the first is given up, the
// second is not.
func TestJudgeStart(t *testing.T) {
	for text, damaged := range map[string]bool{
		"failed to read WAL, cannot be repaired: wal: crc mismatch":              true,
		"failed to open database: invalid database":                              true,
		"failed to find database snapshot file (x)":                              true,
		"page fault in the database: runtime error: slice bounds out of range":   true,
		"failed to open WAL: open x: permission denied":                          false,
		"wal: write x: no space left on device":                                  false,
		"failed to read WAL, cannot be repaired: read x.wal: input/output error": false,
		"listen tcp 10.0.0.1:7434: bind: address already in use":                 false,
		"something that nobody has ever seen":                                    false,
	} {
		if err := judgeStart(fmt.Errorf("start: %w: %s", ErrFatal, text)); errors.Is(err, ErrDamaged) != damaged || !errors.Is(err, ErrFatal) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
