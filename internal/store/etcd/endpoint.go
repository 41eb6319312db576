package etcd

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	dialTimeout = time.Second
	// unackedMax ends a connection whose sent bytes nobody acknowledges.
	unackedMax = 1500 * time.Millisecond
	// pingEvery is gRPC's floor; it clamps anything shorter. What notices a
	// powered-off host sooner is the kernel: unackedMax and its keepalive.
	pingEvery = 10 * time.Second

	bufferBytes  = 8 << 10   // records are small; gRPC's 32 KiB twice a connection are not needed
	windowBytes  = 256 << 10 // a fixed window: estimating one costs a ping for each answer
	messageBytes = 16 << 20  // a snapshot is one message
)

// endpoint is one etcd server and the lazy connection to it.
type endpoint struct {
	url  string
	conn *grpc.ClientConn
	kv   pb.KVClient
}

func newEndpoint(rawURL string, conf *tls.Config) (*endpoint, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.Port() == "" {
		return nil, fmt.Errorf("etcd endpoint %q: want a URL like https://10.0.0.1:2379", rawURL)
	}
	creds := insecure.NewCredentials()
	switch u.Scheme {
	case "http":
	case "https":
		creds = credentials.NewTLS(conf)
	default:
		return nil, fmt.Errorf("etcd endpoint %q: scheme %q, want https or http", rawURL, u.Scheme)
	}
	conn, err := grpc.NewClient("passthrough:///"+u.Host, append(connOptions(), grpc.WithTransportCredentials(creds))...)
	if err != nil {
		return nil, fmt.Errorf("etcd endpoint %q: %w", rawURL, err)
	}
	return &endpoint{url: rawURL, conn: conn, kv: pb.NewKVClient(conn)}, nil
}

func connOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithContextDialer(dial),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: dialTimeout,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: unackedMax}),
		grpc.WithReadBufferSize(bufferBytes),
		grpc.WithWriteBufferSize(bufferBytes),
		grpc.WithSharedWriteBuffer(true),
		grpc.WithInitialWindowSize(windowBytes),
		grpc.WithInitialConnWindowSize(windowBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytes)),
		grpc.WithDisableServiceConfig(),
	}
}

// dial makes the kernel watch the connection: gRPC's own pings start at 10 s,
// so a watch on a powered-off host would sleep for long without this.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 2},
	}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if raw, err := conn.(*net.TCPConn).SyscallConn(); err == nil {
		// Best effort: without it the connection is as good, only slower to be given up.
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedMax.Milliseconds()))
		})
	}
	return conn, nil
}

// newClient makes etcd's own client. Its retries are its own affair: what it is
// used for (membership) is idempotent by member ID and URL.
func newClient(urls []string, conf *tls.Config) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints:            urls,
		TLS:                  conf,
		DialKeepAliveTime:    pingEvery,
		DialKeepAliveTimeout: unackedMax,
		DialOptions:          []grpc.DialOption{grpc.WithContextDialer(dial)},
		Logger:               zap.NewNop(),
	})
}
