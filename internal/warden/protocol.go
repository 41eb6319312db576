package warden

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/vip"
)

// The protocol is one JSON object a line over a unix socket. The warden speaks first
// (hello, then status), pushes a status after each change, and answers each request
// by its id, after the status that shows its effect. Unknown fields are ignored on both
// sides and unknown operations refused, because an upgraded agent meets the warden of
// yesterday. protocolVersion grows only when old clients could misread a message.
const protocolVersion = 1

const lineBytesMax = 1 << 20

type request struct {
	ID       uint64       `json:"id"`
	Op       string       `json:"op"`
	Command  *Command     `json:"command,omitempty"`
	Signal   int          `json:"signal,omitempty"`
	Deadline core.Instant `json:"deadline,omitempty"`
	Term     uint64       `json:"term,omitempty"`
	Reason   string       `json:"reason,omitempty"`

	TTL      time.Duration  `json:"ttl,omitempty"` // with arm: of the lease, for the watchdog
	Margin   time.Duration  `json:"margin,omitempty"`
	Watchdog *spec.Watchdog `json:"watchdog,omitempty"`
	VIP      *vip.Address   `json:"vip,omitempty"` // with vip: what to take away at the fence; nil: nothing
}

type reply struct {
	ID     uint64     `json:"id,omitempty"`
	Hello  *hello     `json:"hello,omitempty"`
	Status *Status    `json:"status,omitempty"`
	Error  *wireError `json:"error,omitempty"`
}

type hello struct {
	Protocol int    `json:"protocol"`
	DataDir  string `json:"data_dir"`
}

type wireError struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

var errorCodes = []struct {
	code string
	err  error
}{
	{"lower-term", ErrLowerTerm},
	{"deadline-past", ErrDeadlinePast},
	{"not-armed", ErrNotArmed},
	{"not-watched", ErrNotWatched},
	{"too-late", ErrTooLate},
	{"not-empty", ErrNotEmpty},
	{"not-running", ErrNotRunning},
	{"stopping", ErrStopping},
	{"unsupported", ErrUnsupported},
	{"capability", ErrCapability},
	{"refused", ErrRefused},
}

func encodeError(err error) *wireError {
	if err == nil {
		return nil
	}
	for _, c := range errorCodes {
		if errors.Is(err, c.err) {
			return &wireError{c.code, err.Error()}
		}
	}
	return &wireError{"failed", err.Error()}
}

// callError is an error that the warden sent: its text, and its kind for errors.Is.
type callError struct {
	op, text string
	kind     error
}

func (e *callError) Error() string { return fmt.Sprintf("warden: %s: %s", e.op, e.text) }
func (e *callError) Unwrap() error { return e.kind }

func decodeError(op string, w *wireError) error {
	if w == nil {
		return nil
	}
	e := &callError{op: op, text: w.Text}
	for _, c := range errorCodes {
		if c.code == w.Code {
			e.kind = c.err
		}
	}
	return e
}

// withSocketPath calls f with a path of the warden's socket that fits the kernel's
// 107 bytes however long the state directory's own path is.
func withSocketPath(stateDir string, f func(path string) error) error {
	path := filepath.Join(stateDir, "warden.sock")
	if len(path) < 104 {
		return f(path)
	}
	dir, err := os.Open(stateDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/warden.sock", dir.Fd()))
}
