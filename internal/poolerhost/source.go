package poolerhost

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/endpoint"
	"github.com/pgherd/pgherd/internal/store"
)

const (
	askMax     = 900 * time.Millisecond // of one member: two fit into what the endpoints give one reading
	askAllMax  = 2 * time.Second
	watchAgain = 200 * time.Millisecond
)

// ErrRemoved: the cluster does not know this host any more.
var ErrRemoved = errors.New("this host was removed from the cluster")

// Source is the cluster's state by the API of any member: they are asked in turn, who answered last first.
type Source struct {
	tls      *tls.Config
	remember func([]core.MemberRecord) // called when they are others
	removed  func()                    // called when the cluster says so, perhaps more than once

	mu         sync.Mutex
	order      []string // HOST:PORT of all of them
	clients    map[string]*api.Client
	generation uint64 // of the newest store that was seen
}

var _ endpoint.Source = (*Source)(nil)

// NewSource asks members, with config's certificate (pki.PoolerTLS).
func NewSource(config *tls.Config, members []core.MemberRecord, remember func([]core.MemberRecord), removed func()) *Source {
	s := &Source{tls: config, remember: remember, removed: removed, clients: map[string]*api.Client{}}
	s.know(members)
	return s
}

// Close ends idle connections.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		c.Close()
	}
}

// State implements endpoint.Source. Each member reads the store's newest state; only that of a store
// which was given up since could be older.
func (s *Source) State(ctx context.Context) (v core.StoreView, err error) {
	err = s.ask(ctx, func(ctx context.Context, c *api.Client) error {
		if v, err = c.PoolerState(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if v.Cluster.Generation < s.generation {
			return fmt.Errorf("a member answers for a store of generation %d, and %d is known", v.Cluster.Generation, s.generation)
		}
		s.generation = v.Cluster.Generation
		return nil
	})
	if err != nil {
		return core.StoreView{}, err
	}
	if s.know(v.Members) {
		s.remember(v.Members)
	}
	return v, nil
}

// Watch implements endpoint.Source.
func (s *Source) Watch(ctx context.Context) <-chan struct{} {
	hints := make(chan struct{}, 1)
	go func() {
		defer close(hints)
		for try := 0; ctx.Err() == nil; try++ {
			all := s.addresses()
			_ = s.client(all[try%len(all)]).PoolerWatch(ctx, func() { // that no member answers, State says
				select {
				case hints <- struct{}{}:
				default:
				}
			})
			select {
			case <-time.After(watchAgain):
			case <-ctx.Done():
			}
		}
	}()
	return hints
}

// Put implements endpoint.Source. Asking the next member after one that gave no answer is safe: if the first wrote, the
// second finds another revision than expected.
func (s *Source) Put(ctx context.Context, r core.PoolerRecord, expect int64) (revision int64, err error) {
	err = s.ask(ctx, func(ctx context.Context, c *api.Client) error {
		w, err := c.PutPoolerRecord(ctx, api.PoolerChange{Record: r, Expect: expect})
		revision = w.Revision
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("the endpoints' record: %w", err)
	}
	return revision, nil
}

// Delete implements endpoint.Source. The name is in the certificate.
func (s *Source) Delete(ctx context.Context, _ string, expect int64) error {
	return s.ask(ctx, func(ctx context.Context, c *api.Client) error { return c.DeletePoolerRecord(ctx, expect) })
}

// ask has f ask one member after the other until one gives an answer, which may be a refusal.
func (s *Source) ask(ctx context.Context, f func(context.Context, *api.Client) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, askAllMax)
	defer cancel()
	for _, at := range s.addresses() {
		if err != nil && ctx.Err() != nil {
			break
		}
		asking, cancel := context.WithTimeout(ctx, askMax)
		err = f(asking, s.client(at))
		cancel()
		if final, answer := s.judge(err); final {
			s.prefer(at)
			return answer
		}
	}
	return err
}

// judge says whether another member would answer the same, and gives the error in the words of endpoint.Source.
func (s *Source) judge(err error) (final bool, answer error) {
	var p *api.Problem
	switch {
	case err == nil:
		return true, nil
	case !errors.As(err, &p) || !p.Refused() || p.Status == http.StatusNotFound: // not found: a member of an older version
		return false, err
	case p.Code == api.CodeConflict:
		return true, fmt.Errorf("%w: %w", store.ErrConflict, err)
	case p.Code == api.CodePoolerRemoved:
		s.removed()
		return true, fmt.Errorf("%w: %w", ErrRemoved, err)
	}
	return true, err
}

// know takes over who is there, and says whether that is news.
func (s *Source) know(members []core.MemberRecord) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, m := range members {
		all = append(all, net.JoinHostPort(m.Address, strconv.Itoa(m.APIPort)))
	}
	if len(all) == 0 {
		return false
	}
	was := slices.Clone(s.order)
	s.order = slices.DeleteFunc(s.order, func(at string) bool { return !slices.Contains(all, at) })
	for _, at := range all {
		if !slices.Contains(s.order, at) {
			s.order = append(s.order, at)
		}
	}
	return !slices.Equal(was, s.order)
}

func (s *Source) addresses() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// prefer asks at first from now on.
func (s *Source) prefer(at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.order, at); i > 0 {
		s.order = slices.Insert(slices.Delete(s.order, i, i+1), 0, at)
	}
}

func (s *Source) client(at string) *api.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[at] == nil {
		s.clients[at] = api.Remote(at, s.tls)
	}
	return s.clients[at]
}
