package endpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/postgres"
)

// fakePooler keeps pooler.Pooler's word, and notes what was asked of it.
type fakePooler struct {
	mu      sync.Mutex
	calls   []string
	running bool
	pid     int
	paused  bool
	targets []pooler.Target
	active  int           // transactions that are open
	drained chan struct{} // closed while active is 0
	missing bool
}

func newFake() *fakePooler {
	f := &fakePooler{pid: 1 << 30, drained: make(chan struct{})}
	close(f.drained)
	return f
}

var _ pooler.Pooler = (*fakePooler)(nil)

func (f *fakePooler) did(call string, args ...any) {
	f.calls = append(f.calls, call+fmt.Sprint(args...))
}

func (f *fakePooler) Ensure(_ context.Context, targets []pooler.Target) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("ensure", targets)
	f.running, f.targets = true, targets
	return nil
}

func (f *fakePooler) Route(_ context.Context, targets []pooler.Target) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.running {
		return errors.New("not running")
	}
	f.did("route", targets)
	f.targets = targets
	return nil
}

func (f *fakePooler) Pause(ctx context.Context) error {
	f.mu.Lock()
	if !f.running {
		f.mu.Unlock()
		return errors.New("not running")
	}
	f.did("pause")
	f.paused = true
	drained := f.drained
	f.mu.Unlock()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open has n transactions open from now on.
func (f *fakePooler) open(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens(n)
}

func (f *fakePooler) opens(n int) {
	if f.active == 0 && n > 0 {
		f.drained = make(chan struct{})
	}
	if f.active > 0 && n == 0 {
		close(f.drained)
	}
	f.active = n
}

func (f *fakePooler) Hold(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("hold")
	f.paused = true
	return nil
}

func (f *fakePooler) Resume(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("resume")
	f.paused = false
	return nil
}

func (f *fakePooler) DropStale(_ context.Context, keep []pooler.Target) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("drop stale", keep)
	return 0, nil
}

func (f *fakePooler) DropActive(context.Context) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("drop active")
	n := f.active
	f.opens(0)
	return n, nil
}

func (f *fakePooler) State(context.Context) (pooler.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.running {
		return pooler.State{}, nil
	}
	s := pooler.State{Running: true, PID: f.pid, Version: pooler.Version{Major: 1, Minor: 25}, Paused: f.paused, Clients: 4, Active: f.active, Targets: f.targets}
	for range f.active {
		s.Servers = append(s.Servers, pooler.Server{Active: true, RemotePID: 7, User: "u", Database: "d"})
	}
	return s, nil
}

func (f *fakePooler) Stop(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("stop")
	f.running = false
	return nil
}

// die is a kill -9.
func (f *fakePooler) die() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("dies")
	f.opens(0)
	f.running, f.paused, f.targets = false, false, nil
}

func (f *fakePooler) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fakePooler) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

// fakeServer is one member's PostgreSQL.
type fakeServer struct {
	mu     sync.Mutex
	up     bool
	writes bool
	ended  chan struct{} // closed when its sessions end
	looks  int
	dials  int
}

func (s *fakeServer) set(up, writes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up && !up {
		close(s.ended)
	}
	if !s.up && up {
		s.ended = make(chan struct{})
	}
	s.up, s.writes = up, writes
}

func (s *fakeServer) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

func (s *fakeServer) dialed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dials
}

type fakeSession struct {
	s     *fakeServer
	ended chan struct{}
}

func (s *fakeServer) dial() (Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials++
	if !s.up {
		return nil, errors.New("connection refused")
	}
	return &fakeSession{s, s.ended}, nil
}

func (f *fakeSession) Look(context.Context) (postgres.Recovery, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if !f.s.up {
		return postgres.Recovery{}, errors.New("session ended")
	}
	f.s.looks++
	return postgres.Recovery{Writes: f.s.writes, LSN: 1000}, nil
}

func (f *fakeSession) Wait(ctx context.Context) error {
	select {
	case <-f.ended:
		return errors.New("session ended")
	case <-ctx.Done():
		return nil
	}
}

func (f *fakeSession) Close() {}

// slowSource hangs where it is told to.
type slowSource struct {
	Source
	mu    sync.Mutex
	hangs bool
	reads int // of the state, that were begun
}

func (s *slowSource) read() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *slowSource) hang(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = on
}

// become answers from another one from now on.
func (s *slowSource) become(other Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Source = other
}

func (s *slowSource) hung(ctx context.Context) (Source, error) {
	s.mu.Lock()
	hangs, source := s.hangs, s.Source
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return source, nil
}

func (s *slowSource) State(ctx context.Context) (core.StoreView, error) {
	s.mu.Lock()
	s.reads++
	s.mu.Unlock()
	source, err := s.hung(ctx)
	if err != nil {
		return core.StoreView{}, err
	}
	return source.State(ctx)
}

func (s *slowSource) Put(ctx context.Context, r core.PoolerRecord, expect int64) (int64, error) {
	source, err := s.hung(ctx)
	if err != nil {
		return 0, err
	}
	return source.Put(ctx, r, expect)
}
