package warden

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgherd/pgherd/internal/core"
)

// BootNow reads CLOCK_BOOTTIME, which keeps counting while the machine is suspended.
func BootNow() core.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("CLOCK_BOOTTIME: %v", err)) // Linux has it since 2.6.39
	}
	return core.Instant(ts.Nano())
}

// bootTimer fires at an Instant. Go's own timers stop during a suspend, so a resumed
// machine would trust its lease for as long as it slept; a timerfd does not.
type bootTimer struct {
	C  <-chan struct{} // a hint: compare BootNow with the deadline
	fd int
}

func newBootTimer() (*bootTimer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timerfd on CLOCK_BOOTTIME: %w", err)
	}
	c := make(chan struct{}, 1)
	go readTimer(os.NewFile(uintptr(fd), "timerfd"), c)
	return &bootTimer{C: c, fd: fd}, nil
}

func readTimer(f *os.File, c chan<- struct{}) {
	var expirations [8]byte
	for {
		if _, err := f.Read(expirations[:]); err != nil {
			time.Sleep(time.Millisecond) // never seen; looking once too often is harmless, not looking is not
		}
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// set moves the timer to at; 0 stops it. An instant in the past fires at once.
func (t *bootTimer) set(at core.Instant) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(at))}
	return unix.TimerfdSettime(t.fd, unix.TFD_TIMER_ABSTIME, &spec, nil)
}
