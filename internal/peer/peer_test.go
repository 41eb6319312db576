package peer

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/pki"
)

func newDir(t *testing.T, ca *pki.CA, name string) pki.Dir {
	t.Helper()
	dir := pki.Dir(t.TempDir())
	cert, key, err := ca.Issue(name, []string{"127.0.0.1"}, time.Now(), time.Hour)
	if err == nil {
		err = ca.Save(dir)
	}
	if err == nil {
		err = pki.SaveNode(dir, cert, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func newCA(t *testing.T, id string) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func serve(t *testing.T, dir pki.Dir, h http.HandlerFunc) (hostport string, connections *atomic.Int64) {
	t.Helper()
	config, err := pki.ServerTLS(dir, pki.ClientRequired)
	if err != nil {
		t.Fatal(err)
	}
	connections = &atomic.Int64{}
	s := httptest.NewUnstartedServer(h)
	s.Listener = tls.NewListener(s.Listener, config)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), connections
}

func client(t *testing.T, dir pki.Dir) *Client {
	t.Helper()
	config, err := pki.ClientTLS(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := New(config)
	t.Cleanup(c.Close)
	return c
}

func TestStatusKeepsOneConnection(t *testing.T) {
	ca := newCA(t, "c1")
	addr, connections := serve(t, newDir(t, ca, "n1"), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/member" || r.Proto != "HTTP/1.1" {
			t.Errorf("asked %s %s", r.Proto, r.URL.Path)
		}
		json.NewEncoder(w).Encode(Status{Name: "n1", Term: 7})
	})
	c := client(t, newDir(t, ca, "n2"))
	for range 20 {
		s, err := c.Status(context.Background(), addr)
		if err != nil || s.Name != "n1" || s.Term != 7 {
			t.Fatalf("%+v %v", s, err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Fatalf("%d connections for 20 calls", n)
	}
}

func TestStatusErrors(t *testing.T) {
	ca := newCA(t, "c1")
	release := make(chan struct{})
	addr, _ := serve(t, newDir(t, ca, "n1"), func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	defer close(release)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := client(t, newDir(t, ca, "n2")).Status(ctx, addr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a member that hangs: %v", err)
	}
	if _, err := client(t, newDir(t, newCA(t, "c2"), "n2")).Status(context.Background(), addr); err == nil {
		t.Error("another cluster's member got an answer")
	}
	refusing, _ := serve(t, newDir(t, ca, "n3"), func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		w.Write([]byte(`{"title":"forbidden","detail":"not you"}`))
	})
	if _, err := client(t, newDir(t, ca, "n2")).Status(context.Background(), refusing); err == nil || !strings.Contains(err.Error(), "403 Forbidden: forbidden: not you") {
		t.Errorf("a refusal: %v", err)
	}
}

func TestProbe(t *testing.T) {
	p, err := ListenProbe("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	other, err := ListenProbe("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx := context.Background()
	if err := Probe(ctx, p.Addr().String(), p.Nonce()); err != nil {
		t.Fatalf("the right listener: %v", err)
	}
	if err := Probe(ctx, other.Addr().String(), p.Nonce()); !errors.Is(err, ErrNotProbed) {
		t.Errorf("another listener: %v", err)
	}
	if err := Probe(ctx, p.Addr().String(), "short"); err == nil {
		t.Error("a short nonce is taken")
	}
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	if err := Probe(ctx, web.Listener.Addr().String(), p.Nonce()); !errors.Is(err, ErrNotProbed) {
		t.Errorf("another program: %v", err)
	}
	at := p.Addr().String()
	p.Close()
	if err := Probe(ctx, at, p.Nonce()); err == nil || errors.Is(err, ErrNotProbed) {
		t.Errorf("nobody listens: %v", err)
	}
}
