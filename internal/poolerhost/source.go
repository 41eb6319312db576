package poolerhost

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/endpoint"
)

const watchAgain = 200 * time.Millisecond

// ErrRemoved: the cluster has removed this host. ErrUnknown: it does not know the host, and has not removed it either.
var (
	ErrRemoved = errors.New("this host was removed from the cluster")
	ErrUnknown = errors.New("this host is not in the cluster's records")
)

// Notices are told what members say. They may be called at the same time.
type Notices struct {
	Members func([]core.MemberRecord) // they are others than before
	Removed func()                    // perhaps more than once
	Read    func(error)               // what came of each reading of the state; may be nil
}

// Source is the cluster's state by the API of any member. Who answered last is asked first, who was silent last (ask.go).
type Source struct {
	tls     *tls.Config
	notices Notices

	mu         sync.Mutex
	order      []string // HOST:PORT of all of them
	clients    map[string]*api.Client
	generation uint64 // of the newest store that was seen
}

var _ endpoint.Source = (*Source)(nil)

// NewSource asks members, with config's certificate (pki.PoolerTLS).
func NewSource(config *tls.Config, members []core.MemberRecord, n Notices) *Source {
	s := &Source{tls: config, notices: n, clients: map[string]*api.Client{}}
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
	v, err = ask(ctx, s, func(ctx context.Context, c *api.Client) (core.StoreView, error) {
		v, err := c.PoolerState(ctx)
		if err == nil {
			err = s.newest(v.Cluster.Generation)
		}
		return v, err
	})
	if s.notices.Read != nil {
		s.notices.Read(err)
	}
	if err != nil {
		return core.StoreView{}, err
	}
	if s.know(v.Members) {
		s.notices.Members(v.Members)
	}
	return v, nil
}

// newest refuses a store that was given up for a newer one: another member may belong to that.
func (s *Source) newest(generation uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if generation < s.generation {
		return fmt.Errorf("a member answers for a store of generation %d, and %d is known", generation, s.generation)
	}
	s.generation = generation
	return nil
}

// Watch implements endpoint.Source. It watches the member that answers, which State finds, and not one of whom a stream has just ended.
func (s *Source) Watch(ctx context.Context) <-chan struct{} {
	hints := make(chan struct{}, 1)
	go func() {
		defer close(hints)
		for ctx.Err() == nil {
			at := s.addresses()[0]
			_ = s.client(at).PoolerWatch(ctx, func() { // that no member answers, State says
				select {
				case hints <- struct{}{}:
				default:
				}
			})
			s.last(at)
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
	w, err := ask(ctx, s, func(ctx context.Context, c *api.Client) (api.PoolerWritten, error) {
		return c.PutPoolerRecord(ctx, api.PoolerChange{Record: r, Expect: expect})
	})
	if err != nil {
		return 0, fmt.Errorf("the endpoints' record: %w", err)
	}
	return w.Revision, nil
}

// Delete implements endpoint.Source. The name is in the certificate.
func (s *Source) Delete(ctx context.Context, _ string, expect int64) error {
	_, err := ask(ctx, s, func(ctx context.Context, c *api.Client) (none struct{}, err error) {
		return none, c.DeletePoolerRecord(ctx, expect)
	})
	return err
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
