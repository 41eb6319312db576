package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/warden"
)

// wardenLink keeps a connection to the warden, and starts one when there is none.
type wardenLink struct {
	options  warden.Options
	log      *slog.Logger
	poke     func()
	watchdog spec.Watchdog
	allowed  func() error // nil: a new warden may kill what still runs in the data directory

	mu  sync.Mutex
	now *warden.Client
}

func (w *wardenLink) client() *warden.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *wardenLink) status() warden.Status {
	if c := w.client(); c != nil {
		return c.Status()
	}
	return warden.Status{}
}

// keep runs until ctx ends. Losing the warden is not losing PostgreSQL's fence: the
// postmaster dies with its warden, and a new warden first kills what is left.
func (w *wardenLink) keep(ctx context.Context) error {
	said := ""
	for ctx.Err() == nil {
		c := w.client()
		if c == nil || !c.Status().Alive {
			if err := w.connect(ctx); err != nil {
				if said != err.Error() {
					w.log.Error("no warden", "error", err)
				}
				said = err.Error()
				select {
				case <-time.After(500 * time.Millisecond):
				case <-ctx.Done():
				}
			}
			continue
		}
		select {
		case <-c.Changes():
			w.poke()
		case <-ctx.Done():
		}
	}
	return nil
}

func (w *wardenLink) connect(ctx context.Context) error {
	if err := w.allowed(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c, err := warden.Ensure(ctx, w.options)
	if err != nil {
		return err
	}
	if err := c.Watchdog(ctx, w.watchdog); err != nil && !errors.Is(err, warden.ErrUnsupported) { // older: see observe
		c.Close()
		return err
	}
	w.mu.Lock()
	if w.now != nil {
		w.now.Close()
	}
	w.now = c
	w.mu.Unlock()
	w.poke()
	return nil
}

func (w *wardenLink) close() {
	if c := w.client(); c != nil {
		c.Close()
	}
}
