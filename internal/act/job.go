package act

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/pgherd/pgherd/internal/core"
)

var errJobRunning = errors.New("another job is running")

// Jobs runs long work, one at a time, and tells how it goes.
type Jobs struct {
	Now  func() core.Instant
	Log  *slog.Logger
	Wake func() // called when a job ends

	mu     sync.Mutex
	state  core.Job
	cancel context.CancelFunc
	ended  chan struct{}
}

// Start runs work in the background. Its ctx outlives the tick and ends with Stop.
func (j *Jobs) Start(s core.Step, work func(ctx context.Context, progress func(percent int, text string)) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state.Running {
		return errJobRunning
	}
	ctx, cancel := context.WithCancel(context.Background())
	j.state = core.Job{Kind: string(s.Kind), ID: s.ID, Running: true}
	j.cancel, j.ended = cancel, make(chan struct{})
	j.Log.Info("job begins", "job", s.Kind, "why", s.Why.Text)
	go func() {
		defer close(j.ended)
		j.end(work(ctx, j.progress))
		cancel()
	}()
	return nil
}

func (j *Jobs) progress(percent int, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.Percent, j.state.Text = percent, text
}

func (j *Jobs) end(err error) {
	j.mu.Lock()
	j.state.Running, j.state.EndedAt = false, j.Now()
	if err != nil {
		j.state.Err = err.Error()
		var particular interface{ Condition() core.Code }
		if errors.As(err, &particular) {
			j.state.Code = particular.Condition()
		}
		j.Log.Error("job failed", "job", j.state.Kind, "error", err)
	} else {
		j.state.Percent = 100
		j.Log.Info("job done", "job", j.state.Kind)
	}
	j.mu.Unlock()
	j.Wake()
}

// View is the running or last job.
func (j *Jobs) View() core.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

// Stop cancels the running job and waits for its end.
func (j *Jobs) Stop() {
	j.mu.Lock()
	cancel, ended := j.cancel, j.ended
	j.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}
