package warden

import (
	"context"
	"fmt"
	"time"

	"github.com/pgherd/pgherd/internal/privilege"
	"github.com/pgherd/pgherd/internal/vip"
)

// guardedVIP takes the virtual address away when PostgreSQL ends here, whatever the reason. The agent
// does so too; but it may be frozen or dead, which is what fences are for. The work is done by
// a goroutine of its own: the kernel's lock on the network may be held by others for
// long, and no program has to be read from a disk.
//
// Nothing waits for it. An address that stays leads to a port that nobody listens on.
type guardedVIP struct {
	driver  vip.Driver
	missing string       // capabilities that this process was started without
	busy    *vip.Address // is being taken away
	done    chan error   // how that went; to the loop
}

const (
	vipAttempts = 20
	vipPause    = 50 * time.Millisecond
)

func newGuardedVIP() guardedVIP {
	return guardedVIP{driver: vip.Kernel{}, missing: privilege.Missing(), done: make(chan error, 1)}
}

// guardVIP: an address is put up under a running postmaster only. Whoever asks for it after the
// fence must not put it up any more, nor before the last one is gone.
func (w *warden) guardVIP(a *vip.Address) error {
	if a != nil && (w.st.PostmasterPID == 0 || w.sweeping || w.vip.busy != nil) {
		return ErrNotRunning
	}
	if a != nil && w.vip.missing != "" {
		return fmt.Errorf("%w (%s)", ErrCapability, w.vip.missing)
	}
	w.st.VIP = a
	return nil
}

// removeVIP begins to take the address away, once.
func (w *warden) removeVIP() {
	if w.st.VIP == nil || w.vip.busy != nil {
		return
	}
	w.vip.busy = w.st.VIP
	go func(d vip.Driver, a vip.Address, done chan<- error) { done <- down(d, a) }(w.vip.driver, *w.st.VIP, w.vip.done)
}

func down(d vip.Driver, a vip.Address) (err error) {
	for range vipAttempts {
		if err = d.Down(context.Background(), a); err == nil {
			return nil
		}
		time.Sleep(vipPause)
	}
	return err
}

// vipRemoved: what could not be taken away remains in the status, and the agent tries on.
func (w *warden) vipRemoved(err error) {
	gone := w.vip.busy
	w.vip.busy = nil
	if err != nil {
		w.log.Error("the virtual address stays", "address", gone.String(), "error", err)
		return
	}
	w.log.Info("the virtual address is gone", "address", gone.String())
	if w.st.VIP != nil && *w.st.VIP == *gone {
		w.st.VIP = nil
	}
}

// wait is for the warden's end.
func (v guardedVIP) wait(limit time.Duration) {
	if v.busy == nil {
		return
	}
	select {
	case <-v.done:
	case <-time.After(limit):
	}
}
