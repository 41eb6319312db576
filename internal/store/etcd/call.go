package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/pgherd/pgherd/internal/store"
)

const (
	// hedgeAfter is how long one endpoint may be silent before the next is asked
	// as well. Longer than a slow disk's fsync, short enough for two more tries
	// within a call of one second.
	hedgeAfter = 300 * time.Millisecond
	// roundPause is between two rounds over all endpoints, as in an election.
	roundPause = 60 * time.Millisecond
)

// kind says what may be done with a request besides sending it once.
type kind int

const (
	read   kind = iota // may be repeated, and may try the preferred endpoint again
	update             // may be repeated: at most one copy can ever take effect
	create             // may not be repeated while a copy might still take effect
)

type option = []grpc.CallOption

type request[T any] func(context.Context, pb.KVClient, option) (T, error)

// attempt is the outcome of one request at one endpoint.
type attempt[T any] struct {
	at    *endpoint
	value T
	err   error
	sent  bool // it reached a connection
}

// race is one call: its attempts, and what is known from those that ended.
type race[T any] struct {
	kind     kind
	do       request[T]
	order    []*endpoint
	busy     map[*endpoint]bool // an attempt is under way there
	next     int                // position in order of the next attempt, counted over all rounds
	results  chan attempt[T]
	unknown  bool        // an attempt that ended may have taken effect
	conflict *attempt[T] // it found the revision changed
	final    error       // no other endpoint would answer differently
	last     error
}

// call runs do against the endpoints until one answers or ctx ends.
func call[T any](ctx context.Context, s *Store, what string, kind kind, do request[T]) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends the attempts that lost
	defer context.AfterFunc(s.ctx, cancel)()
	var none T
	order := s.pool.order(kind == read)
	if s.ctx.Err() != nil || len(order) == 0 {
		return none, fmt.Errorf("%w: %s", store.ErrClosed, what)
	}
	r := &race[T]{kind: kind, do: do, order: order,
		busy: make(map[*endpoint]bool, len(order)), results: make(chan attempt[T], len(order))}
	a, err := r.run(clientv3.WithRequireLeader(ctx))
	if a.at != nil {
		s.pool.answered(a.at)
	}
	if err != nil && s.ctx.Err() != nil {
		return none, fmt.Errorf("%w: %s", store.ErrClosed, what)
	}
	if err != nil {
		return none, fmt.Errorf("%s: %w", what, err)
	}
	return a.value, nil
}

// run gives the attempt that decided the call, or only an error if none did.
func (r *race[T]) run(ctx context.Context) (attempt[T], error) {
	if err := ctx.Err(); err != nil {
		return attempt[T]{}, r.ended(err)
	}
	r.start(ctx)
	timer := time.NewTimer(hedgeAfter)
	defer timer.Stop()
	for {
		select {
		case a := <-r.results:
			if a.err == nil {
				return a, nil
			}
			r.learn(a)
			if decided, by, err := r.verdict(); decided {
				return by, err
			}
			timer.Reset(r.goOn(ctx))
		case <-timer.C:
			if r.mayStart() {
				r.start(ctx)
			}
			timer.Reset(hedgeAfter)
		case <-ctx.Done():
			return attempt[T]{}, r.ended(ctx.Err())
		}
	}
}

// learn takes in an attempt that ended without success.
func (r *race[T]) learn(a attempt[T]) {
	delete(r.busy, a.at)
	switch {
	case errors.Is(a.err, store.ErrConflict):
		r.conflict = &a
		return
	case isFinal(a.err):
		r.final = fmt.Errorf("%s: %w", a.at.url, a.err)
	case a.sent && !isRejected(a.err):
		r.unknown = true
	}
	r.last = fmt.Errorf("%s: %w", a.at.url, a.err)
}

// verdict says whether the call is over without success. While copies are under
// way it is not: a conflict may be one with our own earlier copy.
func (r *race[T]) verdict() (decided bool, by attempt[T], err error) {
	switch {
	case len(r.busy) > 0:
		return false, by, nil
	case r.conflict != nil && !r.unknown:
		return true, *r.conflict, r.conflict.err
	case r.conflict != nil, r.unknown && r.kind == create, r.unknown && r.kind == update && r.final != nil:
		return true, by, r.ended(errors.New("the outcome is unknown"))
	case r.final != nil:
		return true, by, r.final
	}
	return false, by, nil
}

// goOn starts the next attempt, at once within a round and after a pause
// between rounds, and says when to look again.
func (r *race[T]) goOn(ctx context.Context) time.Duration {
	if !r.mayStart() {
		return hedgeAfter
	}
	if r.next%len(r.order) == 0 {
		return roundPause
	}
	r.start(ctx)
	return hedgeAfter
}

// mayStart: none after a conflict or a final error (it could only say the
// same), and no copy of what must not be repeated.
func (r *race[T]) mayStart() bool {
	if r.conflict != nil || r.final != nil || len(r.busy) >= len(r.order) {
		return false
	}
	return r.kind != create || (len(r.busy) == 0 && !r.unknown)
}

// start sends the request to the next endpoint that has none of ours.
func (r *race[T]) start(ctx context.Context) {
	for r.busy[r.order[r.next%len(r.order)]] {
		r.next++
	}
	e := r.order[r.next%len(r.order)]
	r.next++
	r.busy[e] = true
	go func() {
		var p peer.Peer
		value, err := r.do(ctx, e.kv, option{grpc.Peer(&p)})
		r.results <- attempt[T]{at: e, value: value, err: err, sent: p.Addr != nil}
	}()
}

// ended is the error of a call that got no answer it can trust.
func (r *race[T]) ended(why error) error {
	if r.last == nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, why)
	}
	return fmt.Errorf("%w: %w (%w)", store.ErrUnavailable, why, r.last)
}
