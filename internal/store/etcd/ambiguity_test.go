package etcd_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/test/ports"
)

// scripted is an etcd that answers writes as told: what a real one does too
// seldom to test.
type scripted struct {
	pb.UnimplementedKVServer
	txns   atomic.Int32
	answer func(context.Context) (*pb.TxnResponse, error)
}

func (s *scripted) Txn(ctx context.Context, _ *pb.TxnRequest) (*pb.TxnResponse, error) {
	s.txns.Add(1)
	return s.answer(ctx)
}

func done(context.Context) (*pb.TxnResponse, error) {
	return &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: 7}, Succeeded: true}, nil
}

func conflicting(context.Context) (*pb.TxnResponse, error) {
	return &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: 7}}, nil
}

func silent(ctx context.Context) (*pb.TxnResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func slowlyDone(ctx context.Context) (*pb.TxnResponse, error) {
	time.Sleep(500 * time.Millisecond) // a slow disk: longer than the client waits before it asks another
	return done(ctx)
}

func failing(err error) func(context.Context) (*pb.TxnResponse, error) {
	return func(context.Context) (*pb.TxnResponse, error) { return nil, err }
}

func (s *scripted) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterKVServer(server, s)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return "http://" + l.Addr().String()
}

var (
	timedOut = failing(rpctypes.ErrGRPCTimeout)
	noLeader = failing(rpctypes.ErrGRPCNoLeader)
	noSpace  = failing(rpctypes.ErrGRPCNoSpace)
)

// TestOutcomeOfWrites: what two endpoints in this order do, and what the caller
// of Put must be told for an update (revision 5) and for a create.
func TestOutcomeOfWrites(t *testing.T) {
	errOther := errors.New("neither a conflict nor unavailable")
	for _, c := range []struct {
		name           string
		first, second  func(context.Context) (*pb.TxnResponse, error)
		update, create error
	}{
		{"first answers", done, silent, nil, nil},
		{"conflict", conflicting, silent, store.ErrConflict, store.ErrConflict},
		{"first refuses", nil, done, nil, nil},
		{"first refuses, conflict", nil, conflicting, store.ErrConflict, store.ErrConflict},
		{"first has no leader", noLeader, done, nil, nil},
		{"first has no leader, conflict", noLeader, conflicting, store.ErrConflict, store.ErrConflict},
		{"first is silent", silent, done, nil, store.ErrUnavailable},
		// The conflict may be one with our own first copy.
		{"first is silent, conflict", silent, conflicting, store.ErrUnavailable, store.ErrUnavailable},
		{"first timed out", timedOut, done, nil, store.ErrUnavailable},
		{"first timed out, conflict", timedOut, conflicting, store.ErrUnavailable, store.ErrUnavailable},
		{"first is slow, conflict with it", slowlyDone, conflicting, nil, nil},
		{"both are silent", silent, silent, store.ErrUnavailable, store.ErrUnavailable},
		{"no space", noSpace, done, errOther, errOther},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for expect, want := range map[int64]error{5: c.update, 0: c.create} {
				first, second := &scripted{answer: c.first}, &scripted{answer: c.second}
				err := putAt(t, first, second, expect)
				switch {
				case want == errOther && err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrUnavailable):
				case !errors.Is(err, want):
					t.Errorf("at %d: %v, want %v", expect, err, want)
				}
				if n := first.txns.Load() + second.txns.Load(); expect == 0 && errors.Is(want, store.ErrUnavailable) && n != 1 {
					t.Errorf("a create that might take effect was sent %d times", n)
				}
			}
		})
	}
}

func putAt(t *testing.T, first, second *scripted, expect int64) error {
	t.Helper()
	endpoints := []string{"http://" + ports.Addr(t), second.serve(t)} // nobody listens at the first
	if first.answer != nil {
		endpoints[0] = first.serve(t)
	}
	s := dial(t, etcd.Config{Endpoints: endpoints})
	call, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	_, err := s.Put(call, "k", []byte("v"), expect)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a call of one second took %v", took)
	}
	return err
}

func TestCloseEndsCalls(t *testing.T) {
	asked := make(chan struct{}, 1)
	server := &scripted{answer: func(ctx context.Context) (*pb.TxnResponse, error) {
		asked <- struct{}{}
		return silent(ctx)
	}}
	s := dial(t, etcd.Config{Endpoints: []string{server.serve(t)}})
	result := make(chan error, 1)
	go func() {
		_, err := s.Put(ctx(t), "k", nil, 1)
		result <- err
	}()
	<-asked
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, store.ErrClosed) {
		t.Fatalf("a call under way ended with %v", err)
	}
	s.SetEndpoints([]string{"http://127.0.0.1:1"}) // late calls do no harm
	if _, err := s.Client().MemberList(ctx(t)); err == nil {
		t.Fatal("the client outlived its store")
	}
}
