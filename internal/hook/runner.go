package hook

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Event is what the programs are told: EVENT CLUSTER MEMBER TERM.
type Event struct {
	Name    string
	Cluster string
	Member  string
	Term    uint64
}

// Runner calls the programs of a directory, one event at a time, the newest next.
type Runner struct {
	Dir      string
	Log      *slog.Logger
	Deadline time.Duration // of each program; 0: Deadline
	Changed  func()        // after Problem may have changed; may be nil

	mu      sync.Mutex
	next    *Event
	problem string
	wake    chan struct{}
}

// Open makes a runner; Keep runs it.
func Open(dir string, log *slog.Logger) *Runner {
	return &Runner{Dir: dir, Log: log, Deadline: Deadline, wake: make(chan struct{}, 1)}
}

// Tell hands an event over and returns at once. One that was not yet begun with is forgotten.
func (r *Runner) Tell(e Event) {
	r.mu.Lock()
	r.next = &e
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Problem says what failed at the last event; empty: nothing.
func (r *Runner) Problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problem
}

// Keep calls programs until ctx ends, and then once more what is waiting: the last role is the
// one that matters to those outside. It ends within a program's deadline after that for each program.
func (r *Runner) Keep(ctx context.Context) error {
	if _, err := programs(r.Dir); err != nil { // at once, and not only when it is needed
		r.failed([]string{err.Error()})
	}
	for ctx.Err() == nil {
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
		if e := r.take(); e != nil {
			r.failed(r.event(*e))
		}
	}
	return nil
}

func (r *Runner) take() *Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.next
	r.next = nil
	return e
}

func (r *Runner) waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next != nil
}

// event calls all programs and gives what failed.
func (r *Runner) event(e Event) (failed []string) {
	paths, err := programs(r.Dir)
	if err != nil {
		return []string{err.Error()}
	}
	for _, path := range paths {
		if r.waiting() {
			r.Log.Info("hooks: a newer event goes first", "event", e.Name, "term", e.Term, "not_called", path)
			break
		}
		began := time.Now()
		output, err := call(path, e, r.Deadline)
		log := r.Log.With("program", path, "event", e.Name, "term", e.Term, "took", time.Since(began).Round(time.Millisecond).String(), "output", output)
		if err == nil {
			log.Info("hook")
			continue
		}
		log.Error("hook failed", "error", err)
		failed = append(failed, fmt.Sprintf("%s %s: %v", filepath.Base(path), e.Name, err))
	}
	return failed
}

func (r *Runner) failed(list []string) {
	text := strings.Join(list, "; ")
	r.mu.Lock()
	changed := text != r.problem
	r.problem = text
	r.mu.Unlock()
	if changed && text != "" {
		r.Log.Error("hooks", "problem", text)
	}
	if changed && r.Changed != nil {
		r.Changed()
	}
}
