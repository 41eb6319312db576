package warden

import (
	"errors"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/trust"
	"github.com/pgherd/pgherd/internal/vip"
)

// Version is what a warden of this binary reports; main sets it before Main.
var Version = "dev"

// Errors of the client's calls; test with errors.Is. After each of them except
// ErrDisconnected nothing was changed.
var (
	ErrLowerTerm    = trust.ErrLowerTerm
	ErrDeadlinePast = trust.ErrDeadlinePast
	ErrNotArmed     = errors.New("needs an Arm or a Disarm first")
	ErrNotEmpty     = errors.New("the instance is not empty")
	ErrNotRunning   = errors.New("postgres is not running")
	ErrNotWatched   = errors.New("the watchdog is required and does not count")
	ErrTooLate      = errors.New("the lease has to be renewed first: the watchdog would fire after others may lead")
	ErrStopping     = errors.New("the warden is stopping")
	ErrUnsupported  = errors.New("this warden does not know the operation")
	ErrRefused      = errors.New("refused")
	ErrCapability   = errors.New("this warden was started without the capabilities for it")
	// ErrDisconnected: the warden went away; the outcome of the call is unknown.
	ErrDisconnected = errors.New("the connection to the warden is lost")
)

// Status is what the warden knows. Instants are of this machine's CLOCK_BOOTTIME.
type Status struct {
	Alive         bool         `json:"-"` // the client's connection to the warden stands
	WardenPID     int          `json:"warden_pid"`
	PostmasterPID int          `json:"postmaster_pid"` // 0: no postmaster
	Empty         bool         `json:"empty"`          // proof: no process of the instance exists
	StartedAt     core.Instant `json:"started_at"`     // last Start
	EmptyAt       core.Instant `json:"empty_at"`       // when it last became empty
	trust.Permit               // what PostgreSQL may do, and until when
	LastExit      *Exit        `json:"last_exit,omitempty"`
	Fenced        *Fenced      `json:"fenced,omitempty"` // the last fence; the next Start clears it
	Cgroup        bool         `json:"cgroup"`           // the instance has a cgroup of its own
	Version       string       `json:"version"`

	Watchdog *WatchdogStatus `json:"watchdog,omitempty"` // nil: off
	VIP      *vip.Address    `json:"vip,omitempty"`      // taken away when the postmaster ends or is killed; nil: none, or it is gone
}

// Exit tells how the last postmaster ended.
type Exit struct {
	PID        int           `json:"pid"`
	Code       int           `json:"code"`             // -1 when a signal ended it
	Signal     string        `json:"signal,omitempty"` // "killed"
	At         core.Instant  `json:"at"`               // when its end was seen
	EmptyAfter time.Duration `json:"empty_after"`      // from At until the instance was empty; 0 while it is not
}

// Fenced tells why the warden killed the instance.
type Fenced struct {
	At         core.Instant  `json:"at"`
	Reason     string        `json:"reason"`
	Term       uint64        `json:"term"`
	EmptyAfter time.Duration `json:"empty_after"` // from At until the instance was empty; 0 while it is not
}

// Command is the postmaster to run: an absolute path, the arguments without the
// program's name, and the whole environment (nil: the warden's own).
type Command struct {
	Path string   `json:"path"`
	Args []string `json:"args,omitempty"`
	Env  []string `json:"env,omitempty"`
}
