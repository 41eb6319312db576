package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pki"
)

// Limits of the server.
const (
	bodyBytesMax   = 1 << 20
	headerBytesMax = 16 << 10
	joinsMax       = 4               // at once: each dials out and writes the store
	storeTimeout   = 3 * time.Second // one call to the store
	stopTimeout    = 2 * time.Second // for requests under way when the server stops
)

// SocketName is the unix socket's file in the state directory.
const SocketName = "api.sock"

// SocketPath gives the unix socket of the member with this state directory.
func SocketPath(stateDir string) string { return filepath.Join(stateDir, SocketName) }

// Server answers on listen.api and on the unix socket.
type Server struct {
	b         Backend
	clusterID string
	ca        *pki.CA
	http      *http.Server
	tcp, unix net.Listener
	joins     chan struct{}
	lookups   chan struct{} // of join tokens
	hub       *hub
	live      *live
	relays    relays
	access    accessBook
	strangers strangers
	lastKnown atomic.Pointer[core.StoreView] // the newest snapshot that was read
}

// Listen opens both listeners. Nothing is answered before Serve.
func Listen(b Backend) (*Server, error) {
	s := &Server{b: b.withDefaults(), joins: make(chan struct{}, joinsMax), lookups: make(chan struct{}, joinsMax), hub: newHub(), live: newLive(), relays: relays{running: map[string]context.CancelFunc{}}}
	ca, err := pki.LoadCA(b.PKI)
	if err != nil {
		return nil, err
	}
	s.ca, s.clusterID = ca, ca.ClusterID()
	config, err := pki.ServerTLS(b.PKI, pki.ClientOptional)
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", b.Config.Listen.API)
	if err != nil {
		return nil, fmt.Errorf("listen.api: %w", err)
	}
	if s.unix, err = listenUnix(SocketPath(b.Config.StateDir)); err != nil {
		tcp.Close()
		return nil, err
	}
	s.tcp = tls.NewListener(newCrowd(tcp), config)
	s.http = s.httpServer()
	return s, nil
}

func (s *Server) httpServer() *http.Server {
	return &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      time.Minute, // trying parameters and probing take their time
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    headerBytesMax,
		ConnContext:       withPeerCredentials,
		// Port scanners and half-open connections are no news.
		ErrorLog: slog.NewLogLogger(s.b.Log.Handler(), slog.LevelDebug),
	}
}

// Addr is where HTTPS is answered.
func (s *Server) Addr() net.Addr { return s.tcp.Addr() }

// Serve answers until ctx ends, then lets requests under way finish for a moment. It
// gives nil after ctx's end, and removes the socket.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 2)
	following, end := context.WithCancel(ctx)
	defer end()
	go s.follow(following)
	go s.followEvents(following)
	go s.followStatus(following)
	for _, l := range []net.Listener{s.tcp, s.unix} {
		go func() { failed <- s.http.Serve(l) }()
	}
	var err error
	left := 2
	select {
	case <-ctx.Done():
	case err = <-failed:
		left--
	}
	end() // or those who watch would hold up the stop
	s.stop()
	for range left {
		if e := <-failed; err == nil && !errors.Is(e, http.ErrServerClosed) {
			err = e
		}
	}
	return err
}

func (s *Server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
}

// Close closes a server that never served.
func (s *Server) Close() {
	_ = s.tcp.Close()
	_ = s.unix.Close()
}

// Serve listens and answers until ctx ends.
func Serve(ctx context.Context, b Backend) error {
	s, err := Listen(b)
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}

// The kernel takes 107 bytes.
const socketPathBytesMax = 103

// listenUnix replaces the socket that a killed agent left, but not a living one's.
func listenUnix(path string) (net.Listener, error) {
	if len(path) > socketPathBytesMax {
		return nil, fmt.Errorf("the socket's path %s is longer than %d bytes: choose a shorter state_dir", path, socketPathBytesMax)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("another agent answers at %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// Until here the mode is the umask's; state_dir's 0700 and the check of the
	// caller's user cover that moment.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
