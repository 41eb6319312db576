package warden

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

// dog is what stands behind a FIFO in place of hardware: it counts from the first byte, is fed by
// each further one, goes to sleep at a V, and fires.
type dog struct {
	path  string
	fired chan time.Time

	mu             sync.Mutex
	fed, disarmed  int
	first, lastFed time.Time
}

func (i *instance) watchdog(timeout time.Duration) *dog {
	i.t.Helper()
	d := &dog{path: filepath.Join(i.dir, "watchdog"), fired: make(chan time.Time, 1)}
	must(i.t, unix.Mkfifo(d.path, 0o666))
	must(i.t, os.Chmod(d.path, 0o666))
	fifo, err := os.OpenFile(d.path, os.O_RDWR, 0)
	must(i.t, err)
	i.t.Cleanup(func() { fifo.Close() })
	timer := time.AfterFunc(time.Hour, func() { d.fired <- time.Now() })
	go func() {
		var buf [64]byte
		for {
			n, err := fifo.Read(buf[:])
			if err != nil {
				return
			}
			for _, b := range buf[:n] {
				d.take(b, timer, timeout)
			}
		}
	}()
	return d
}

func (d *dog) take(b byte, timer *time.Timer, timeout time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b == 'V' {
		d.disarmed++
		timer.Stop()
		return
	}
	d.fed, d.lastFed = d.fed+1, time.Now()
	timer.Reset(timeout)
}

func (d *dog) counts() (fed, disarmed int, last time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fed, d.disarmed, d.lastFed
}

func (d *dog) quiet(t testing.TB, after time.Duration) {
	t.Helper()
	select {
	case <-d.fired:
		t.Fatal("the watchdog fired")
	case <-time.After(after):
	}
}

func (d *dog) bites(t testing.TB) time.Time {
	t.Helper()
	select {
	case at := <-d.fired:
		return at
	case <-time.After(20 * time.Second):
		t.Fatal("the watchdog did not fire")
	}
	return time.Time{}
}

// lease is of 3 s with a margin of 1 s: its watchdog counts 1 s.
func lease(term uint64) core.LeaseRecord {
	return core.LeaseRecord{Term: term, TTL: spec.Duration(3 * time.Second), Margin: spec.Duration(time.Second)}
}

// primary is a running instance under a deadline, with its watchdog counting.
func (i *instance) primary(d *dog) *Client {
	i.t.Helper()
	c := i.running()
	must(i.t, c.Watchdog(ctx(i.t), spec.Watchdog{Mode: spec.WatchdogRequired, Device: d.path}))
	must(i.t, c.Renewed(ctx(i.t), BootNow(), lease(2)))
	awaitStatus(i.t, c, "the watchdog", watchdogIs(core.WatchdogActive))
	return c
}

func watchdogIs(state core.WatchdogState) func(Status) bool {
	return func(s Status) bool { return s.Watchdog != nil && s.Watchdog.State == state }
}

// renew keeps the deadline moving until the returned function is called.
func (i *instance) renew(c *Client, term uint64) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_ = c.Renewed(ctx(i.t), BootNow(), lease(term))
			select {
			case <-end:
				return
			case <-time.After(300 * time.Millisecond):
			}
		}
	}()
	return func() { close(end); <-ended }
}

// It is fed as long as renewals come, and asleep once nothing could write: at the end of a clean stop, and
// when the instance goes on as a standby.
func TestWatchdogIsFedWhileRenewedAndDisarmedAtTheEnd(t *testing.T) {
	for name, end := range map[string]func(i *instance, c *Client){
		"disarmed": func(_ *instance, c *Client) { must(t, c.Disarm(ctx(t), 2)) },
		"stopped":  func(_ *instance, c *Client) { must(t, c.Signal(ctx(t), syscall.SIGINT)) },
		"fenced":   func(_ *instance, c *Client) { must(t, c.Fence(ctx(t), "test")) },
		"SIGTERM":  func(i *instance, _ *Client) { must(t, syscall.Kill(i.wardenPID, syscall.SIGTERM)) },
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstance(t)
			d := i.watchdog(2 * time.Second) // the warden counts on one: a busy machine is to have the other
			c := i.primary(d)
			stop := i.renew(c, 2)
			d.quiet(t, 3500*time.Millisecond) // longer than the lease and the watchdog
			fed, before, _ := d.counts()
			if fed < 8 || before > 1 { // once when it was looked at
				t.Errorf("fed %d times, disarmed %d times", fed, before)
			}
			if c.Status().Watchdog.Timeout != time.Second {
				t.Errorf("%+v", c.Status().Watchdog)
			}
			stop()
			end(i, c)
			if name == "stopped" { // the deadline stands until the agent takes it away, or it passes
				awaitStatus(t, c, "emptiness", empty)
				must(t, c.Disarm(ctx(t), 2))
			}
			if name == "disarmed" { // the next lease may be shorter, and it will do as it is told
				if s := awaitStatus(t, c, "rest", watchdogIs(core.WatchdogReady)); s.Watchdog.Timeout != 0 {
					t.Errorf("%+v", s.Watchdog)
				}
			}
			await(t, "a V", func() bool { _, now, _ := d.counts(); return now > before })
			d.quiet(t, 2500*time.Millisecond)
		})
	}
}

// The warden stands: nobody kills at the deadline, so the machine must go down before anybody else may lead.
func TestFrozenWardenIsBitten(t *testing.T) {
	i := newInstance(t)
	d := i.watchdog(time.Second)
	c := i.primary(d)
	stop := i.renew(c, 2)
	d.quiet(t, time.Second)
	stop()
	sent := time.Now() // the last renewal is older
	freeze(t, i.wardenPID)
	if at := d.bites(t); at.Sub(sent) > 3*time.Second {
		t.Errorf("it fired %v after the last renewal, whose ttl is 3 s", at.Sub(sent))
	}
	if len(i.processes()) == 0 {
		t.Error("the instance is gone: the watchdog was not needed")
	}
}

// A killed warden feeds as little; the next one takes the device back before it fires.
func TestKilledWardenIsBittenUnlessAnotherTakesOver(t *testing.T) {
	for name, again := range map[string]bool{"alone": false, "respawned": true} {
		t.Run(name, func(t *testing.T) {
			i := newInstance(t)
			d := i.watchdog(3 * time.Second) // the next one needs its time on a busy machine
			old := i.primary(d)
			must(t, syscall.Kill(i.wardenPID, syscall.SIGKILL))
			await(t, "the warden's end", func() bool { return !alive(i.wardenPID) && !old.Status().Alive })
			if !again {
				d.bites(t)
				return
			}
			c := i.ensure()
			must(t, c.Watchdog(ctx(t), spec.Watchdog{Mode: spec.WatchdogRequired, Device: d.path}))
			awaitStatus(t, c, "the watchdog's state", watchdogIs(core.WatchdogReady))
			d.quiet(t, 3500*time.Millisecond)
		})
	}
}

// The deadline has passed and a process is left that cannot be killed: here one that belongs to
// another user, as a warden without privileges cannot tell it from one that hangs in the kernel.
func TestWatchdogIsNotFedForWhatCannotBeKilled(t *testing.T) {
	if credential == nil {
		t.Skip("needs root")
	}
	i := newInstance(t)
	d := i.watchdog(time.Second)
	c := i.primary(d)
	i.unkillable()
	sent := time.Now()
	must(t, c.Renewed(ctx(t), BootNow(), lease(2)))
	at := d.bites(t)
	if s := c.Status(); s.Empty || s.Fenced == nil {
		t.Errorf("status %+v", s)
	}
	if late := at.Sub(sent) - 2500*time.Millisecond; late < -200*time.Millisecond || late > 500*time.Millisecond {
		t.Errorf("it fired %v from half a margin after the deadline", late)
	}
}

// unkillable has postgres start a program that becomes root's.
func (i *instance) unkillable() {
	i.t.Helper()
	program, file := filepath.Join(i.dir, "unkillable"), filepath.Join(i.dir, "data", "unkillable.pid")
	must(i.t, copyExecutable(program))
	must(i.t, os.Chmod(program, 0o755|os.ModeSetuid))
	i.exec(`COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; ` + program + ` test-unkillable ` + file + ` </dev/null >/dev/null 2>&1 &'`)
	var pid int
	await(i.t, "the unkillable", func() bool {
		b, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return strings.HasSuffix(string(b), "\n")
	})
	i.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
}

func testUnkillable(file string) int {
	if syscall.Setuid(0) != nil || os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600) != nil {
		return 1
	}
	time.Sleep(time.Minute)
	return 0
}

func TestWatchdogThatCannotBeHad(t *testing.T) {
	i := newInstance(t)
	c := i.running()
	plain := filepath.Join(i.dir, "plain")
	must(t, os.WriteFile(plain, nil, 0o600)) // root's
	fifo := filepath.Join(i.dir, "nobody")
	must(t, unix.Mkfifo(fifo, 0o666))
	must(t, os.Chmod(fifo, 0o666))
	for path, want := range map[string]struct {
		state core.WatchdogState
		text  string
	}{
		filepath.Join(i.dir, "missing"): {core.WatchdogAbsent, "does not exist"},
		plain:                           {core.WatchdogUnavailable, "cannot be opened by postgres: permission denied; a udev rule"},
		fifo:                            {core.WatchdogUnavailable, "has nobody behind it"},
	} {
		if path == plain && credential == nil {
			continue
		}
		must(t, c.Watchdog(ctx(t), spec.Watchdog{Mode: spec.WatchdogAutomatic, Device: path}))
		s := awaitStatus(t, c, "the watchdog's state", watchdogIs(want.state))
		if !strings.Contains(s.Watchdog.Text, want.text) {
			t.Errorf("%s: %q, want %q", path, s.Watchdog.Text, want.text)
		}
		must(t, c.Renewed(ctx(t), BootNow(), lease(2))) // it is tried again, and is harmless
	}
	must(t, c.Watchdog(ctx(t), spec.Watchdog{Mode: spec.WatchdogOff, Device: fifo}))
	awaitStatus(t, c, "off", func(s Status) bool { return s.Watchdog == nil })
	i.connect()
}

// A timeout that the lease does not bear is no watchdog; where one is required, nothing is started as primary.
func TestRequiredWatchdogKeepsFromStarting(t *testing.T) {
	i := newInstance(t)
	d := i.watchdog(time.Hour)
	c := i.ensure()
	must(t, c.Watchdog(ctx(t), spec.Watchdog{Mode: spec.WatchdogRequired, Device: d.path, Timeout: spec.Duration(2 * time.Second)}))
	must(t, c.Renewed(ctx(t), BootNow(), lease(2)))
	s := awaitStatus(t, c, "the refusal", watchdogIs(core.WatchdogUnavailable))
	if !strings.Contains(s.Watchdog.Text, "too long for the lease") || s.Watchdog.Timeout != 2*time.Second {
		t.Errorf("%+v", s.Watchdog)
	}
	if err := c.Start(ctx(t), i.command()); !errors.Is(err, ErrNotWatched) {
		t.Errorf("start under a deadline: %v", err)
	}
	must(t, c.Disarm(ctx(t), 2))
	must(t, c.Start(ctx(t), i.command())) // a standby needs none
	i.connect()
}

// While nothing runs the device is fed whatever the deadline. What is started then must leave it time to fire (seed 11530410).
func TestNothingIsStartedTooLateForTheWatchdog(t *testing.T) {
	i := newInstance(t)
	d := i.watchdog(time.Hour)
	c := i.ensure()
	must(t, c.Watchdog(ctx(t), spec.Watchdog{Mode: spec.WatchdogAutomatic, Device: d.path}))
	sent := BootNow()
	must(t, c.Renewed(ctx(t), sent, lease(2)))
	s := awaitStatus(t, c, "the watchdog counts", watchdogIs(core.WatchdogActive))
	l := lease(2)
	last := sent.Add(l.TTL.D() - l.Margin.D()/2 - s.Watchdog.Timeout)
	time.Sleep(last.Add(50 * time.Millisecond).Sub(BootNow())) // it is about time that passes
	if err := c.Start(ctx(t), i.command()); !errors.Is(err, ErrTooLate) {
		t.Errorf("started %s after the last moment: %v", BootNow().Sub(last), err)
	}
	must(t, c.Renewed(ctx(t), BootNow(), lease(2)))
	must(t, c.Start(ctx(t), i.command()))
	i.connect()
}

// A file or a terminal takes the bytes as well.
func TestWatchdogOfAPlainFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, nil, 0o600))
	d, err := openDevice(path, 3*time.Second, 3*time.Second, false)
	must(t, err)
	must(t, errors.Join(d.feed(), d.close()))
	if b, _ := os.ReadFile(path); string(b) != "\x00\x00V" || d.timeout != 3*time.Second || d.kernel {
		t.Errorf("%q, %+v", b, d)
	}
	if _, err := openDevice(path, 4*time.Second, 3*time.Second, false); !errors.Is(err, errTooLong) {
		t.Errorf("too long: %v", err)
	}
}

func TestWatchdogOnATerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	defer master.Close()
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	d, err := openDevice("/dev/pts/"+strconv.Itoa(n), 3*time.Second, 0, true)
	must(t, err)
	must(t, errors.Join(d.feed(), d.close()))
}

// fakeKernel answers as a driver that counts at least least, and 60 s when it is not told.
func fakeKernel(options uint32, least uint32, disable error) ioctls {
	counts := uint32(60)
	return ioctls{
		info: func(int) (*unix.WatchdogInfo, error) { return &unix.WatchdogInfo{Options: options}, nil },
		setTimeout: func(_ int, seconds int) error {
			if uint32(seconds) < least {
				return unix.EINVAL
			}
			counts = uint32(seconds)
			return nil
		},
		timeout: func(int) (uint32, error) { return counts, nil },
		disable: func(int) error { return disable },
	}
}

func TestKernelWatchdog(t *testing.T) {
	const magic = unix.WDIOF_MAGICCLOSE
	for name, c := range map[string]struct {
		calls   ioctls
		want    error
		text    string
		timeout time.Duration
		bytes   string
	}{
		"as asked":         {fakeKernel(magic, 1, nil), nil, "", 3 * time.Second, "\x00"},
		"granted is more":  {fakeKernel(magic, 10, nil), errTooLong, "counts 1m0s, the lease bears 3s", time.Minute, "\x00V"},
		"no magic close":   {fakeKernel(0, 1, nil), nil, "stops to count when its program dies", 3 * time.Second, "V"},
		"cannot be closed": {fakeKernel(magic, 10, unix.EBUSY), errStillArmed, "nowayout", time.Minute, "\x00"}, // stays open, to be fed
	} {
		path := filepath.Join(t.TempDir(), "device")
		must(t, os.WriteFile(path, nil, 0o600))
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND, 0)
		must(t, err)
		d := &device{path: path, fd: fd, timeout: 3 * time.Second, calls: c.calls}
		err = d.begin(3*time.Second, 3*time.Second)
		if c.want != nil && !errors.Is(err, c.want) || (err != nil) != (c.text != "") || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
		if b, _ := os.ReadFile(path); string(b) != c.bytes || d.timeout != c.timeout {
			t.Errorf("%s: got %q, counts %s", name, b, d.timeout)
		}
	}
}
