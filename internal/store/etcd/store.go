package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/pgherd/pgherd/internal/store"
)

var _ store.Store = (*Store)(nil)

// Config says where the store is.
type Config struct {
	// Endpoints are URLs ("https://10.0.0.1:2379") in order of preference: the
	// member's own first.
	Endpoints []string
	// TLS is used for https endpoints. Certificates that change while running
	// come through its GetClientCertificate.
	TLS *tls.Config
	// Prefix goes before every key, with one slash between; "/pgherd" if empty.
	Prefix string
	// Logger gets changes of the endpoint in use; nil discards them.
	Logger *slog.Logger
}

// Store is a client of one prefix of an etcd cluster. Safe for concurrent use.
type Store struct {
	prefix string
	logger *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	pool   *pool
	client *clientv3.Client
}

// Dial prepares the store. It does not connect: endpoints that are down are
// found out by the calls, and again by later ones. ctx bounds nothing but Dial.
func Dial(ctx context.Context, cfg Config) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: dial etcd: %w", store.ErrUnavailable, err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "/pgherd"
	}
	s := &Store{
		prefix: strings.TrimRight(cfg.Prefix, "/") + "/",
		logger: cfg.Logger,
	}
	s.pool = newPool(cfg.TLS, cfg.Logger)
	if err := s.pool.set(cfg.Endpoints); err != nil {
		return nil, err
	}
	var err error
	if s.client, err = newClient(cfg.Endpoints, cfg.TLS); err != nil {
		s.pool.close()
		return nil, fmt.Errorf("etcd client: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// SetEndpoints replaces the endpoints, in order of preference. Connections to
// those that stay are kept. A list that cannot be used is logged and ignored:
// the old one may still work.
func (s *Store) SetEndpoints(urls []string) {
	if err := s.pool.set(urls); err != nil {
		s.logger.Error("etcd endpoints not changed", "error", err)
		return
	}
	s.client.SetEndpoints(slices.Clone(urls)...)
}

// Endpoints are the present ones.
func (s *Store) Endpoints() []string { return s.pool.urls() }

// Snapshot is one linearizable range read.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	req := &pb.RangeRequest{Key: []byte(s.prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(s.prefix))}
	resp, err := call(ctx, s, "snapshot", read, func(ctx context.Context, kv pb.KVClient, o option) (*pb.RangeResponse, error) {
		return kv.Range(ctx, req, o...)
	})
	if err != nil {
		return store.Snapshot{}, err
	}
	entries := make(map[string]store.Entry, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		entries[strings.TrimPrefix(string(kv.Key), s.prefix)] = store.Entry{Value: kv.Value, Revision: kv.ModRevision}
	}
	return store.Snapshot{Revision: resp.Header.Revision, Entries: entries}, nil
}

// Put returns ErrUnavailable also when it cannot tell a conflict from its own
// success: a first copy of the request may have won against the second.
func (s *Store) Put(ctx context.Context, key string, value []byte, expect int64) (int64, error) {
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
		RequestPut: &pb.PutRequest{Key: []byte(s.prefix + key), Value: value},
	}}
	return s.compareAndDo(ctx, "put "+key, key, expect, put)
}

func (s *Store) Delete(ctx context.Context, key string, expect int64) error {
	remove := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
		RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(s.prefix + key)},
	}}
	_, err := s.compareAndDo(ctx, "delete "+key, key, expect, remove)
	return err
}

func (s *Store) compareAndDo(ctx context.Context, what, key string, expect int64, do *pb.RequestOp) (int64, error) {
	req := &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key:         []byte(s.prefix + key),
			Target:      pb.Compare_MOD,
			Result:      pb.Compare_EQUAL,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: expect},
		}},
		Success: []*pb.RequestOp{do},
	}
	// A copy that arrives late must find its compare false for ever. Revisions
	// never come back, but "must not exist" can become true again.
	kind := update
	if expect == 0 {
		kind = create
	}
	resp, err := call(ctx, s, what, kind, func(ctx context.Context, kv pb.KVClient, o option) (*pb.TxnResponse, error) {
		resp, err := kv.Txn(ctx, req, o...)
		if err == nil && !resp.Succeeded {
			return nil, fmt.Errorf("%w: %s is not at revision %d", store.ErrConflict, key, expect)
		}
		return resp, err
	})
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}

// Client gives etcd's own client with the same endpoints, for the membership
// functions of package embed. It is closed with the store.
func (s *Store) Client() *clientv3.Client { return s.client }

func (s *Store) Close() error {
	s.cancel()
	s.pool.close()
	err := s.client.Close()
	if errors.Is(err, context.Canceled) { // its way of saying it was open, or closed already
		return nil
	}
	return err
}
