package etcd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	watchPauseMin = 50 * time.Millisecond
	watchPauseMax = time.Second
)

// Watch follows the endpoint in use: a stream that breaks is opened again at
// the endpoint that then answers the calls, and hints once, for what it missed.
func (s *Store) Watch(ctx context.Context, news func(key string) bool) <-chan struct{} {
	hints := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	go func() {
		defer close(hints)
		defer cancel()
		defer stop()
		s.keepWatching(ctx, news, hints)
	}()
	return hints
}

func (s *Store) keepWatching(ctx context.Context, news func(string) bool, hints chan<- struct{}) {
	pause := watchPauseMin
	for turn := 0; ctx.Err() == nil; turn++ {
		// The one in use first, then the others: it may be the watch that finds
		// a dead endpoint while no call is made.
		moves, order := s.pool.moves(), s.pool.order(false)
		if len(order) == 0 {
			return
		}
		if established := s.watchOnce(ctx, order[turn%len(order)], moves, news, hints); established {
			pause, turn = watchPauseMin, -1
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, watchPauseMax)
		}
	}
}

// watchOnce hints until the stream breaks or calls move to another endpoint
// (they notice a frozen one long before a quiet stream does). It says whether
// the stream had begun.
func (s *Store) watchOnce(ctx context.Context, e *endpoint, moves <-chan struct{}, news func(string) bool, hints chan<- struct{}) (established bool) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	go func() {
		select {
		case <-moves:
			cancel()
		case <-ctx.Done():
		}
	}()
	opening := time.AfterFunc(dialTimeout, cancel) // a silent endpoint is not waited for
	defer opening.Stop()
	stream, err := s.openWatch(ctx, e)
	for err == nil {
		var resp *pb.WatchResponse
		if resp, err = stream.Recv(); err != nil {
			break
		}
		if resp.Canceled { // also how a member without a leader ends it
			err = errors.New(resp.CancelReason)
			break
		}
		if resp.Created {
			established = opening.Stop()
		}
		if resp.Created || s.tells(resp.Events, news) {
			hint(hints)
		}
	}
	if established && ctx.Err() == nil {
		s.logger.Info("etcd watch broke", "endpoint", e.url, "error", err)
	}
	return established
}

func (s *Store) openWatch(ctx context.Context, e *endpoint) (pb.Watch_WatchClient, error) {
	stream, err := pb.NewWatchClient(e.conn).Watch(ctx)
	if err != nil {
		return nil, err
	}
	create := &pb.WatchCreateRequest{Key: []byte(s.prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(s.prefix))}
	return stream, stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}})
}

// tells says whether one of the events is news.
func (s *Store) tells(events []*mvccpb.Event, news func(string) bool) bool {
	return slices.ContainsFunc(events, func(e *mvccpb.Event) bool {
		return news == nil || news(strings.TrimPrefix(string(e.Kv.Key), s.prefix))
	})
}

func hint(hints chan<- struct{}) {
	select {
	case hints <- struct{}{}:
	default: // one waits already
	}
}
