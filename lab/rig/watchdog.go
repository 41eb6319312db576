//go:build lab

package rig

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// Watchdog is a host's, as hardware would be: a FIFO that counts from its first byte, is fed by each
// further one, sleeps after a V, and otherwise cuts the host's power. (This kernel has no
// softdog, and the lab's hosts share one machine.)
type Watchdog struct {
	Path  string
	Fired chan time.Time // the moment in which nothing of the host was left

	host *Host
	fifo *os.File
	mu   sync.Mutex
	fed  time.Time // last; zero: it sleeps
}

// AddWatchdog gives the host one, which counts for the given time.
func (h *Host) AddWatchdog(timeout time.Duration) error {
	d := &Watchdog{Path: join(h.Dir, "watchdog"), Fired: make(chan time.Time, 1), host: h}
	if err := syscall.Mkfifo(d.Path, 0o600); err != nil {
		return err
	}
	if err := os.Chown(d.Path, h.rig.spec.UID, h.rig.spec.GID); err != nil {
		return err
	}
	var err error
	if d.fifo, err = os.OpenFile(d.Path, os.O_RDWR, 0); err != nil {
		return err
	}
	h.Watchdog = d
	go d.run(timeout)
	return nil
}

func (d *Watchdog) run(timeout time.Duration) {
	timer := time.AfterFunc(time.Hour, d.fire)
	defer timer.Stop()
	var buf [64]byte
	for {
		n, err := d.fifo.Read(buf[:])
		if err != nil {
			return
		}
		for _, b := range buf[:n] {
			if d.set(b != 'V'); b == 'V' {
				timer.Stop()
			} else {
				timer.Reset(timeout)
			}
		}
	}
}

func (d *Watchdog) set(fed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fed = (time.Time{}); fed {
		d.fed = time.Now()
	}
}

// Fed is when it was fed last; zero while it does not count.
func (d *Watchdog) Fed() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fed
}

func (d *Watchdog) fire() {
	_ = d.host.KillAll()
	d.set(false)
	d.Fired <- time.Now()
}

func (d *Watchdog) close() {
	if d != nil {
		_ = d.fifo.Close()
	}
}
