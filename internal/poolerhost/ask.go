package poolerhost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/store"
)

const (
	askMax    = 2 * time.Second        // one question, whoever answers it
	askNext   = 200 * time.Millisecond // without an answer for so long the next member is asked as well
	askWithin = 800 * time.Millisecond // until all are asked, however many there are
)

// question asks one member.
type question[T any] func(context.Context, *api.Client) (T, error)

// reply is what came of that. It is final when it is an answer, which may be a refusal.
type reply[T any] struct {
	at    string
	value T
	err   error
	final bool
}

// ask gives the first answer of any member. A member that says nothing is not waited for: the next one is asked beside
// it, so that members who swallow everything cost no more than askWithin together, and only once, since they are asked
// last from then on. One that fails has the next one asked at once. To ask two is safe, see Put.
func ask[T any](ctx context.Context, s *Source, f question[T]) (none T, err error) {
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	all := s.addresses()
	every := min(askNext, askWithin/time.Duration(len(all)))
	replies := make(chan reply[T], len(all)) // nobody has to wait for a reader
	next := time.NewTimer(0)
	defer next.Stop()
	for asked, failed := 0, 0; failed < len(all); {
		select {
		case <-next.C:
			if asked < len(all) {
				go put(ctx, s, f, all[asked], replies)
				asked++
				next.Reset(every)
			}
		case r := <-replies:
			if r.final {
				s.prefer(r.at, all[:asked])
				return r.value, r.err
			}
			if !errors.Is(err, ErrUnknown) { // that one says most
				err = r.err
			}
			failed++
			next.Reset(0)
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return none, fmt.Errorf("%d members were asked in vain: %w", len(all), err)
		}
	}
	return none, err
}

// put puts the question to one member.
func put[T any](ctx context.Context, s *Source, f question[T], at string, to chan<- reply[T]) {
	value, err := f(ctx, s.client(at))
	final, err := s.judge(err)
	to <- reply[T]{at, value, err, final}
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
	case p.Code == api.CodePoolerUnknown: // others may belong to a newer store
		return false, fmt.Errorf("%w: %w", ErrUnknown, err)
	case p.Code == api.CodePoolerRemoved:
		s.notices.Removed()
		return true, fmt.Errorf("%w: %w", ErrRemoved, err)
	}
	return true, err
}

func (s *Source) addresses() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// prefer asks at first from now on, and silent last.
func (s *Source) prefer(at string, silent []string) {
	for _, other := range silent {
		if other != at {
			s.last(other)
		}
	}
	s.move(at, func(rest []string) []string { return slices.Insert(rest, 0, at) })
}

// last asks at only after all others from now on.
func (s *Source) last(at string) {
	s.move(at, func(rest []string) []string { return append(rest, at) })
}

// move has f put at, if it is still known, to its place among the rest.
func (s *Source) move(at string, f func(rest []string) []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.order, at); i >= 0 {
		s.order = f(slices.Delete(s.order, i, i+1))
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
