package mem

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/pgherd/pgherd/internal/store"
)

var _ store.Store = (*Store)(nil)

// content is what all handles of one New share.
type content struct {
	mu       sync.Mutex
	revision int64
	entries  map[string]store.Entry
	watchers map[chan struct{}]func(key string) bool // what each wants to know of; nil: all
}

// Store is one handle on a content. Safe for concurrent use.
type Store struct {
	c      *content
	closed context.Context
	close  context.CancelFunc
}

// New gives a handle on a new, empty content.
func New() *Store {
	return handle(&content{
		revision: 1, // as etcd: an empty store already has a revision
		entries:  map[string]store.Entry{},
		watchers: map[chan struct{}]func(string) bool{},
	})
}

// Handle gives a further handle on the same content, as another member would
// have; closing one leaves the others open.
func (s *Store) Handle() *Store { return handle(s.c) }

func handle(c *content) *Store {
	ctx, cancel := context.WithCancel(context.Background())
	return &Store{c: c, closed: ctx, close: cancel}
}

func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if err := s.usable(ctx, "snapshot"); err != nil {
		return store.Snapshot{}, err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	entries := maps.Clone(s.c.entries)
	for k, e := range entries {
		entries[k] = store.Entry{Value: slices.Clone(e.Value), Revision: e.Revision}
	}
	return store.Snapshot{Revision: s.c.revision, Entries: entries}, nil
}

func (s *Store) Put(ctx context.Context, key string, value []byte, expect int64) (int64, error) {
	if err := s.usable(ctx, "put "+key); err != nil {
		return 0, err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if err := s.c.check(key, expect); err != nil {
		return 0, err
	}
	s.c.revision++
	s.c.entries[key] = store.Entry{Value: slices.Clone(value), Revision: s.c.revision}
	s.c.hint(key)
	return s.c.revision, nil
}

func (s *Store) Delete(ctx context.Context, key string, expect int64) error {
	if err := s.usable(ctx, "delete "+key); err != nil {
		return err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if err := s.c.check(key, expect); err != nil {
		return err
	}
	if expect == 0 { // nothing was there: no change, as in etcd
		return nil
	}
	s.c.revision++
	delete(s.c.entries, key)
	s.c.hint(key)
	return nil
}

func (s *Store) Watch(ctx context.Context, news func(key string) bool) <-chan struct{} {
	hints := make(chan struct{}, 1)
	if s.closed.Err() != nil || ctx.Err() != nil {
		close(hints)
		return hints
	}
	s.c.mu.Lock()
	s.c.watchers[hints] = news
	s.c.mu.Unlock()
	var once sync.Once
	end := func() { once.Do(func() { s.c.forget(hints) }) }
	unwatch := context.AfterFunc(s.closed, end)
	context.AfterFunc(ctx, func() { unwatch(); end() })
	return hints
}

// Close closes this handle only.
func (s *Store) Close() error {
	s.close()
	return nil
}

func (s *Store) usable(ctx context.Context, what string) error {
	if s.closed.Err() != nil {
		return fmt.Errorf("%w: %s", store.ErrClosed, what)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %s: %w", store.ErrUnavailable, what, err)
	}
	return nil
}

func (c *content) check(key string, expect int64) error {
	if is := c.entries[key].Revision; is != expect {
		return fmt.Errorf("%w: %s is at revision %d, expected %d", store.ErrConflict, key, is, expect)
	}
	return nil
}

func (c *content) hint(key string) {
	for w, news := range c.watchers {
		if news != nil && !news(key) {
			continue
		}
		select {
		case w <- struct{}{}:
		default: // one hint waits already: it says the same
		}
	}
}

func (c *content) forget(hints chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watchers, hints)
	close(hints) // under the lock, so that hint never sends on it
}
