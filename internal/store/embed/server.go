package embed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"github.com/pgherd/pgherd/internal/store"
)

// ErrFatal is reported when etcd met a fault after which it cannot run on (its
// disk failed, its data is damaged). It may hold its ports and files until the
// process ends, so starting again needs a new process.
var ErrFatal = errors.New("embedded etcd failed for good")

// Server is a running embedded etcd.
type Server struct {
	etcd *embed.Etcd
	grpc chan *grpc.Server // the client-facing server, once there is one
	errs chan error
	stop sync.Once
	done chan struct{}

	logged *recent
}

// Start begins to serve with the data in Dir, or without any as a founder
// (StateNew) or a joining member (StateExisting). It does not wait for a
// quorum. A joining member asks the others for the cluster's members first,
// which takes seconds if they do not answer, and fails if none does.
func Start(ctx context.Context, c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.readable(); err != nil {
		return nil, err
	}
	cfg, err := c.etcd()
	if err != nil {
		return nil, err
	}
	s := &Server{grpc: make(chan *grpc.Server, 1), errs: make(chan error, 1), done: make(chan struct{}),
		logged: &recent{logged: map[string]time.Time{}}}
	core := slogCore{logger: c.Logger, recent: s.logged}
	if core.logger == nil {
		core.logger = slog.New(slog.DiscardHandler)
	}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newLogger(core, s.fatal))
	cfg.ServiceRegister = func(g *grpc.Server) { s.grpc <- g }
	if err := s.start(ctx, cfg); err != nil {
		return nil, judgeStart(fmt.Errorf("start embedded etcd %s in %s: %w", c.Name, c.Dir, err))
	}
	go s.forwardErrors()
	return s, nil
}

// start runs etcd's start on a goroutine of its own, which a fatal entry may
// end, or leave waiting for another that it ended.
func (s *Server) start(ctx context.Context, cfg *embed.Config) error {
	result := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil { // damaged pages make its database panic
				s.fatal(fmt.Errorf("page fault in the database: %v", p))
			}
		}()
		e, err := embed.StartEtcd(cfg)
		s.etcd = e
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case err := <-s.errs:
		return err
	case <-ctx.Done():
		go func() { // nobody will have this server
			if err := <-result; err == nil {
				s.Close()
			}
		}()
		return ctx.Err()
	}
}

// Ready is closed when the server has joined its cluster (which needs a quorum)
// and answers clients.
func (s *Server) Ready() <-chan struct{} { return s.etcd.Server.ReadyNotify() }

// ErrNotify gives the error after which the server does not work any more. It
// gives nothing after Close.
func (s *Server) ErrNotify() <-chan error { return s.errs }

// MemberID is this server's in the cluster.
func (s *Server) MemberID() uint64 { return uint64(s.etcd.Server.MemberID()) }

// IsLeader says whether this server leads the raft group.
func (s *Server) IsLeader() bool {
	return s.etcd.Server.Leader() == s.etcd.Server.MemberID()
}

// Local reads this server's own records below prefix, as far as it knows that they were agreed on. It needs
// no quorum, so it may be old: for rebuilding a store that is lost, and nothing else.
func (s *Server) Local(ctx context.Context, prefix string) (store.Snapshot, error) {
	request := &pb.RangeRequest{Key: []byte(prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix)), Serializable: true}
	resp, err := s.etcd.Server.Range(ctx, request)
	if err != nil {
		return store.Snapshot{}, fmt.Errorf("read the own share of the store: %w", err)
	}
	entries := make(map[string]store.Entry, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		entries[strings.TrimPrefix(string(kv.Key), prefix)] = store.Entry{Value: kv.Value, Revision: kv.ModRevision}
	}
	return store.Snapshot{Revision: resp.Header.Revision, Entries: entries}, nil
}

// Voters are the names of those who vote, as far as this server knows. It needs no quorum.
func (s *Server) Voters() (names []string) {
	for _, m := range s.etcd.Server.Cluster().Members() {
		if m.Name != "" && !m.IsLearner {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// MoveLeadership hands raft leadership to the voter that is connected longest.
// It does nothing when this server does not lead or votes alone.
func (s *Server) MoveLeadership(ctx context.Context) error {
	result := make(chan error, 1)
	go func() { result <- s.etcd.Server.TryTransferLeadershipOnShutdown() }()
	select {
	case err := <-result:
		if err != nil {
			return fmt.Errorf("move etcd leadership: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("move etcd leadership: %w", ctx.Err())
	}
}

// handOverMax bounds what Close spends on handing leadership over; an election
// would take about as long.
const handOverMax = time.Second

// Close hands leadership over if it can, and stops. It returns when all files
// and ports are free: a second or two, as etcd waits for its peers to hang up.
func (s *Server) Close() {
	s.stop.Do(func() {
		close(s.done)
		s.logged.close()
		ctx, cancel := context.WithTimeout(context.Background(), handOverMax)
		defer cancel()
		_ = s.MoveLeadership(ctx) // else an election does it
		select {
		case g := <-s.grpc:
			g.Stop() // etcd would wait 7 s for watches to end by themselves
		default:
		}
		// Before Close, which waits for ever for a server that never got ready, and
		// not Stop, which tries to hand over again, for 7 s.
		s.etcd.Server.HardStop()
		s.etcd.Close()
	})
}

func (s *Server) fatal(err error) { s.report(fmt.Errorf("%w: %w", ErrFatal, err)) }

func (s *Server) report(err error) {
	select {
	case s.errs <- err:
	default: // the first one counts
	}
}

func (s *Server) forwardErrors() {
	for {
		select {
		case <-s.done:
			return
		case <-s.etcd.Server.StopNotify():
			select {
			case <-s.done:
			default: // for example: removed from the cluster
				s.report(ErrStopped)
			}
			return
		case err, open := <-s.etcd.Err():
			if !open {
				return
			}
			if err != nil {
				s.report(err)
			}
		}
	}
}

// ErrStopped is reported when etcd stopped without being told to: it was
// removed from the cluster.
var ErrStopped = errors.New("embedded etcd stopped: the member was removed from the etcd cluster")
