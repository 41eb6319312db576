package warden

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/trust"
)

// WatchdogStatus is what became of the hardware watchdog.
type WatchdogStatus struct {
	State   core.WatchdogState `json:"state"`
	Text    string             `json:"text,omitempty"`
	Timeout time.Duration      `json:"timeout,omitempty"` // in force; while it does not count, the shortest it is known to have, if that is known
}

const (
	openPause  = time.Second      // between attempts while it is needed
	probePause = 10 * time.Second // and while it is not
)

// watchdog is the loop's side of the hardware watchdog: trust.Watchdog says when it is to count and
// when it may be fed, the device's own goroutine does it. That may take as long as a driver
// takes, and the loop must fence meanwhile; but only the loop gives the word to feed, so that a loop
// that stands feeds nothing. One word is under way at a time.
type watchdog struct {
	wish spec.Watchdog
	ttl  time.Duration // of the lease, by the last arming
	rule trust.Watchdog

	orders chan func() (then func()) // run by the device's goroutine
	done   chan func()               // what follows, run by the loop
	busy   bool
	device *device       // nil: not open
	needed bool          // it is to count
	stuck  bool          // it refused to be disarmed
	long   bool          // it counts longer than the lease bears
	sized  bool          // it was opened to count, not for a look
	least  time.Duration // what it was seen to have for want of a shorter one, or is told to have; 0: whatever a lease bears
	next   core.Instant  // when to feed, or to try again; 0: after a change
	timer  *time.Timer
}

func newWatchdog() watchdog {
	d := watchdog{orders: make(chan func() func(), 1), done: make(chan func(), 1), timer: time.NewTimer(time.Hour)}
	go func() {
		for order := range d.orders {
			d.done <- order()
		}
	}()
	return d
}

// setWatchdog takes over what the member's file says.
func (w *warden) setWatchdog(wish *spec.Watchdog) error {
	switch {
	case wish == nil:
		return ErrRefused
	case *wish == w.dog.wish:
		return nil
	}
	w.dog.wish, w.dog.next, w.dog.least, w.st.Watchdog = *wish, 0, wish.Timeout.D(), nil
	if !w.dog.off() {
		w.st.Watchdog = &WatchdogStatus{}
	}
	return nil
}

func (d *watchdog) off() bool { return d.wish.Mode == "" || d.wish.Mode == spec.WatchdogOff }

// watch runs at every turn of the loop, after the deadline was looked at.
func (w *warden) watch() {
	d := &w.dog
	if d.busy || d.off() && d.device == nil {
		return
	}
	d.rule.Follow(w.st.Permit, w.st.Empty)
	now, longest := BootNow(), max(0, spec.Lease{TTL: spec.Duration(d.ttl), Margin: spec.Duration(w.st.Margin)}.WatchdogMax())
	if needed := d.rule.By != 0 && !d.off(); needed != d.needed {
		d.needed, d.next, d.sized = needed, 0, false
	}
	d.long = d.device != nil && longest > 0 && d.device.timeout > longest
	switch {
	case d.device == nil && d.needed:
		w.open(now, longest)
	case d.device == nil:
		w.probe(now, longest)
	case d.stuck && d.needed && !d.sized:
		w.resize(longest)
	case d.stuck && (d.long || !d.needed):
		w.feed(now, true) // who cannot be disarmed must be fed, whatever it guards
	case !d.stuck && (d.long || !d.needed || !d.sized || d.device.path != d.wish.Device):
		w.disarmDevice()
	default:
		w.feed(now, w.st.Empty)
	}
	if d.next > now {
		d.timer.Reset(d.next.Sub(now))
	}
}

// open has it count, from a moment in which it could be fed.
func (w *warden) open(now core.Instant, longest time.Duration) {
	d := &w.dog
	rule := d.rule
	rule.Timeout = cmp.Or(d.wish.Timeout.D(), longest)
	if now < d.next {
		return
	}
	if longest > 0 && rule.Timeout > longest {
		d.next = now.Add(openPause)
		w.tellWatchdog(core.WatchdogUnavailable, fmt.Sprintf("watchdog.timeout is %s, the lease bears %s: %s", rule.Timeout, longest, errTooLong))
		return
	}
	if ok, _ := rule.Feed(now, w.st.Empty); ok {
		d.sized = true
		w.openFor(rule.Timeout, longest)
	}
}

// resize gives a device that could not be closed after a look at it the timeout of the lease.
func (w *warden) resize(longest time.Duration) {
	d := &w.dog
	dev, want := d.device, cmp.Or(d.wish.Timeout.D(), longest)
	d.sized = true
	w.order(func() func() {
		err := dev.setUp(want)
		if err != nil {
			err = errors.Join(err, dev.close())
		}
		return func() {
			d.rule.Timeout = dev.timeout
			w.fed(err)
		}
	})
}

// probe opens it for a moment, to know whether it could be. That is also how a new warden takes
// back what a killed one left counting.
func (w *warden) probe(now core.Instant, longest time.Duration) {
	d := &w.dog
	if first := w.st.Watchdog.State == core.WatchdogOff; !first && d.next == 0 || now < d.next {
		return
	}
	if d.wish.Timeout == 0 {
		w.openFor(longest, 0) // the next lease may be another
		return
	}
	w.openFor(d.wish.Timeout.D(), 0)
}

func (w *warden) openFor(want, longest time.Duration) {
	path, required := w.dog.wish.Device, w.dog.wish.Mode == spec.WatchdogRequired
	w.order(func() func() {
		dev, err := openDevice(path, want, longest, required)
		return func() { w.opened(dev, err) }
	})
}

func (w *warden) opened(dev *device, err error) {
	d := &w.dog
	if errors.Is(err, errTooLong) {
		d.least = dev.timeout
	}
	state, pause := core.WatchdogUnavailable, probePause
	switch {
	case err == nil || errors.Is(err, errStillArmed) && dev != nil:
		d.device, d.stuck, d.rule.Timeout, d.next = dev, err != nil, dev.timeout, 0
		switch {
		case err != nil:
			w.tellWatchdog(core.WatchdogUnavailable, err.Error())
		case d.needed:
			w.tellWatchdog(core.WatchdogActive, "")
			w.log.Info("the watchdog counts", "device", dev.path, "timeout", dev.timeout)
		}
		return
	case errors.Is(err, errAbsent):
		state = core.WatchdogAbsent
	}
	if d.needed {
		pause = openPause
	}
	d.next = BootNow().Add(pause)
	w.tellWatchdog(state, err.Error())
}

// feed gives the word if the rule allows it. The rule is asked again right before the effect.
func (w *warden) feed(now core.Instant, empty bool) {
	d := &w.dog
	if now < d.next {
		return
	}
	ok, next := d.rule.Feed(now, empty)
	if d.next = next; !ok {
		return
	}
	dev, rule := d.device, d.rule
	w.order(func() func() {
		if still, _ := rule.Feed(BootNow(), empty); !still {
			return func() {}
		}
		err := dev.feed()
		if err != nil {
			err = errors.Join(err, dev.close()) // opened anew, it may be another
		}
		return func() { w.fed(err) }
	})
}

func (w *warden) fed(err error) {
	d := &w.dog
	switch {
	case err != nil && !errors.Is(err, errStillArmed):
		d.device, d.stuck, d.next = nil, false, BootNow().Add(openPause)
		fallthrough
	case err != nil:
		w.tellWatchdog(core.WatchdogUnavailable, err.Error())
	case d.stuck && d.long:
		w.tellWatchdog(core.WatchdogUnavailable, errTooLong.Error())
	case d.stuck && d.needed:
		w.tellWatchdog(core.WatchdogActive, errStillArmed.Error())
	case d.stuck:
		w.tellWatchdog(core.WatchdogReady, errStillArmed.Error())
	case d.needed:
		w.tellWatchdog(core.WatchdogActive, "")
	}
}

// disarmDevice lets it go; it is opened again when it is needed.
func (w *warden) disarmDevice() {
	dev := w.dog.device
	w.order(func() func() {
		err := dev.close()
		return func() { w.disarmed(err) }
	})
}

func (w *warden) disarmed(err error) {
	d := &w.dog
	d.next = 0
	switch {
	case errors.Is(err, errStillArmed):
		d.stuck = true
		w.tellWatchdog(core.WatchdogReady, err.Error())
	case err != nil:
		d.device, d.stuck, d.next = nil, false, BootNow().Add(openPause)
		w.tellWatchdog(core.WatchdogUnavailable, err.Error())
	default:
		d.device, d.stuck = nil, false
		w.tellWatchdog(core.WatchdogReady, "")
	}
}

// order hands work to the device's goroutine; what it gives back runs in the loop.
func (w *warden) order(work func() (then func())) {
	w.dog.busy = true
	w.dog.orders <- work
}

// ordered is the loop's part of an order.
func (w *warden) ordered(then func()) {
	w.dog.busy = false
	then()
}

func (w *warden) tellWatchdog(state core.WatchdogState, text string) {
	now := WatchdogStatus{State: state, Text: strings.ReplaceAll(text, "\n", "; "), Timeout: w.dog.least}
	if state == core.WatchdogActive {
		now.Timeout = w.dog.rule.Timeout
	}
	if w.st.Watchdog == nil || *w.st.Watchdog == now {
		return
	}
	if text != "" && w.st.Watchdog.Text != text {
		w.log.Warn("the watchdog", "state", string(state), "problem", text)
	}
	w.st.Watchdog = &now
}

// watched: what may write is started only under a watchdog that counts, where one is required.
func (w *warden) watched() bool {
	s := w.st.Watchdog
	return w.dog.wish.Mode != spec.WatchdogRequired || w.st.Deadline == 0 || s != nil && s.State == core.WatchdogActive
}

// inTime: should what is started now not be killed when it must, the watchdog that counts ends it before others may lead.
func (w *warden) inTime() bool {
	s := w.st.Watchdog
	return s == nil || s.State != core.WatchdogActive || w.dog.rule.Starts(BootNow())
}

// letGo is the warden's end: nothing is left to guard.
func (w *warden) letGo(limit time.Duration) {
	timeout := time.After(limit)
	if w.dog.busy {
		select {
		case then := <-w.dog.done:
			w.ordered(then)
		case <-timeout:
			return
		}
	}
	if w.dog.device == nil || w.dog.busy {
		return
	}
	w.disarmDevice()
	select {
	case then := <-w.dog.done:
		w.ordered(then)
	case <-timeout:
	}
}
