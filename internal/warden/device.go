package warden

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// device is an open watchdog, which counts from the moment it is opened. The kernel's (what
// /dev/watchdog is) is asked for its timeout and its abilities; any other path that can be
// written to, such as a FIFO with a program behind it, gets the same bytes: one to be fed,
// a V before the end.
type device struct {
	path    string
	fd      int
	kernel  bool
	timeout time.Duration
	calls   ioctls
}

// ioctls are the kernel's side of a watchdog; no test machine is to be reset by one.
type ioctls struct {
	info       func(fd int) (*unix.WatchdogInfo, error)
	setTimeout func(fd int, seconds int) error
	timeout    func(fd int) (uint32, error)
	disable    func(fd int) error
}

var kernelIoctls = ioctls{
	info:       unix.IoctlGetWatchdogInfo,
	setTimeout: func(fd, seconds int) error { return unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, seconds) },
	timeout:    func(fd int) (uint32, error) { return unix.IoctlGetUint32(fd, unix.WDIOC_GETTIMEOUT) },
	disable:    func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.WDIOC_SETOPTIONS, unix.WDIOS_DISABLECARD) },
}

// Why a device cannot be had.
var (
	errAbsent     = errors.New("does not exist")
	errTooLong    = errors.New("its timeout is too long for the lease")
	errNoWayOut   = errors.New("it cannot be disarmed (nowayout), so that each stop of pgherd would reset this machine; mode required uses it all the same")
	errStillArmed = errors.New("it cannot be disarmed (nowayout): this machine resets when pgherd's warden ends")
)

const (
	feedByte  = "\x00"
	magicByte = "V"
)

// openDevice opens the watchdog and has it count for want, or as it likes (0). Without required
// it leaves alone what could not be disarmed again. longest is what the lease bears; 0: not known.
// A device that comes with an error is closed, unless the error is errStillArmed.
func openDevice(path string, want, longest time.Duration, required bool) (*device, error) {
	if !required && noWayOut(path) {
		return nil, fmt.Errorf("%s: %w", path, errNoWayOut)
	}
	// Without O_NONBLOCK a FIFO that nobody reads would hold us up, and so would one that is full.
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, explainOpen(path, err)
	}
	d := &device{path: path, fd: fd, timeout: want, calls: kernelIoctls}
	return d, d.begin(want, longest)
}

// begin closes the device again when it cannot be used.
func (d *device) begin(want, longest time.Duration) error {
	err := d.setUp(want)
	if err == nil && longest > 0 && d.timeout > longest {
		err = fmt.Errorf("%s counts %s, the lease bears %s: %w", d.path, d.timeout, longest, errTooLong)
	}
	if err != nil {
		return errors.Join(err, d.close())
	}
	return nil
}

// setUp asks the kernel's watchdogs what they are and can do. What counts is the timeout that they
// then say they have.
func (d *device) setUp(want time.Duration) error {
	info, err := d.calls.info(d.fd)
	if err != nil { // ENOTTY, or what a driver of another kind makes of it
		return d.feed()
	}
	d.kernel = true
	if info.Options&unix.WDIOF_MAGICCLOSE == 0 {
		return fmt.Errorf("%s stops to count when its program dies (no magic close), so it guards against nothing", d.path)
	}
	if want > 0 {
		_ = d.calls.setTimeout(d.fd, int(want/time.Second)) // one that it cannot have leaves what it has
	}
	seconds, err := d.calls.timeout(d.fd)
	if err != nil || seconds == 0 {
		return fmt.Errorf("%s does not tell its timeout: %v", d.path, err)
	}
	d.timeout = time.Duration(seconds) * time.Second
	return d.feed()
}

func (d *device) feed() error {
	if _, err := unix.Write(d.fd, []byte(feedByte)); err != nil {
		return fmt.Errorf("feeding %s: %w", d.path, err)
	}
	return nil
}

// close disarms. A device that refuses to be disarmed stays open: to close it would be to let it
// fire.
func (d *device) close() error {
	if d.kernel && errors.Is(d.calls.disable(d.fd), unix.EBUSY) {
		return fmt.Errorf("%s: %w", d.path, errStillArmed)
	}
	_, err := unix.Write(d.fd, []byte(magicByte))
	if err != nil {
		err = fmt.Errorf("disarming %s: %w", d.path, err)
	}
	unix.Close(d.fd)
	return err
}

func explainOpen(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s %w", path, errAbsent)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		name := "pgherd's user"
		if u, uErr := user.Current(); uErr == nil {
			name = u.Username
		}
		return fmt.Errorf("%s cannot be opened by %s: %w; a udev rule can give it the device", path, name, err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%s is in use by another program (systemd's RuntimeWatchdogSec?): %w", path, err)
	case errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%s has nobody behind it: %w", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// noWayOut reads what sysfs says of the device, where the kernel tells it: to find out by opening
// would be too late.
func noWayOut(path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return false
	}
	dir := fmt.Sprintf("/sys/dev/char/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	if unix.Major(st.Rdev) == 10 { // the misc device of old, which is the first watchdog
		dir = "/sys/class/watchdog/watchdog0"
	}
	text, _ := os.ReadFile(dir + "/nowayout")
	return strings.TrimSpace(string(text)) == "1"
}
