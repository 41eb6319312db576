package privilege

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept are the capabilities that this package is about.
var kept = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}

var names = map[uintptr]string{unix.CAP_NET_ADMIN: "CAP_NET_ADMIN", unix.CAP_NET_RAW: "CAP_NET_RAW"}

// mask has both in the lower word, as the kernel counts them.
const mask = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW

// sets are one thread's capabilities, the lower word first.
type sets [2]unix.CapUserData

func current() (s sets, err error) {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return s, unix.Capget(&h, &s[0])
}

func (s sets) apply() error {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return unix.Capset(&h, &s[0])
}

// Missing names those of the two that this process cannot use; empty: it has both.
func Missing() string {
	s, err := current()
	if err != nil {
		return err.Error()
	}
	var list []string
	for _, c := range kept {
		if s[0].Effective&(1<<c) == 0 {
			list = append(list, names[c])
		}
	}
	return strings.Join(list, " and ")
}

// Grant is for SysProcAttr.AmbientCaps of a child that is to have both; nil when this process
// has not: asking for what one has not would make the start fail.
func Grant() []uintptr {
	if s, err := current(); err != nil || s[0].Permitted&mask != mask {
		return nil
	}
	return kept
}

// BecomeKeeping runs become, which changes from root to another user in all threads, so that a
// program executed right after it, from the same goroutine, has the two capabilities and no others. Where they cannot be had
// (a container's bounding set) become is run all the same, and the program is without. The goroutine stays
// bound to its thread: only that thread has them.
func BecomeKeeping(become func() error) error {
	runtime.LockOSThread()
	keeps := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0) == nil
	if err := become(); err != nil || !keeps {
		return err
	}
	s, err := current()
	if err != nil {
		return nil
	}
	have := s[0].Permitted & mask
	only := sets{{Effective: have, Permitted: have, Inheritable: have}}
	if err := only.apply(); err != nil {
		return fmt.Errorf("giving up root's capabilities: %w", err)
	}
	raise()
	return nil
}

// PassOn undoes Confine for the calling goroutine, which is about to execute a program in place of this
// process: pgherd itself, anew.
func PassOn() {
	runtime.LockOSThread()
	s, err := current()
	if err != nil || s[0].Permitted&mask == 0 {
		return
	}
	s[0].Inheritable |= s[0].Permitted & mask
	if s.apply() == nil {
		raise()
	}
}

func raise() {
	for _, c := range kept {
		_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0) // Missing tells, after the execution
	}
}

// ErrCgo: this binary cannot set the capabilities of all its threads.
var ErrCgo = errors.New("pgherd was built with cgo (build it with CGO_ENABLED=0): what it runs inherits CAP_NET_ADMIN and CAP_NET_RAW")

// Confine ends the inheritance of the two in all threads; the process itself keeps them.
func Confine() error {
	s, err := current()
	if err != nil || !inherits(s) {
		return err
	}
	s[0].Inheritable &^= mask
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&s[0])), 0)
	for _, c := range kept {
		if errno == 0 {
			_, _, errno = syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_LOWER, c, 0, 0, 0)
		}
	}
	runtime.KeepAlive(&h)
	runtime.KeepAlive(&s)
	switch {
	case errno == syscall.ENOTSUP:
		return ErrCgo
	case errno != 0:
		return fmt.Errorf("confining capabilities: %w", errno)
	}
	return nil
}

// inherits: an ambient capability is always inheritable as well.
func inherits(s sets) bool { return s[0].Inheritable&mask != 0 }

// ConfineThread is Confine for the calling thread alone, to which the caller has bound its goroutine, and
// gives the two up besides. It works in every binary.
func ConfineThread() error {
	s, err := current()
	if err != nil || !inherits(s) && s[0].Permitted&mask == 0 {
		return err
	}
	s[0].Inheritable &^= mask
	s[0].Permitted &^= mask
	s[0].Effective &^= mask
	return s.apply() // the kernel takes what is not permitted any more out of the ambient set
}
