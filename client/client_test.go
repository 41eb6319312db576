package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/test/ports"
)

func open(t *testing.T, c Config) *Pool {
	t.Helper()
	p, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestHostsOfADSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgresql://a:5432,b:5433/x?sslmode=disable": "[a:5432/1 b:5433/1]",
		"postgresql://a:1,b:1/x?sslmode=prefer":        "[a:1/2 b:1/2]", // with TLS, and without
		"host=a,a port=1,2 sslmode=require":            "[a:1/1 a:2/1]",
		"host=fd00::1,a port=5,5432 sslmode=require":   "[[fd00::1]:5/1 a:5432/1]",
	} {
		c, err := pgx.ParseConfig(dsn)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range hostsOf(c) {
			got = append(got, fmt.Sprintf("%s/%d", net.JoinHostPort(h.name, strconv.Itoa(int(h.port))), len(h.ways)))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: got %v, want %s", dsn, got, want)
		}
	}
}

func TestWithoutADatabaseAcquireWaitsForItsContext(t *testing.T) {
	if _, err := Open(Config{DSN: "host=a port=x"}); err == nil {
		t.Error("a DSN that cannot be read was taken")
	}
	p := open(t, Config{DSN: "postgresql://app@" + ports.Addr(t) + "/app?sslmode=disable"})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := p.Acquire(ctx)
	if !errors.Is(err, ErrNotReady) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("acquire: %v", err)
	}
	rows, err := p.Query(ctx, "SELECT 1")
	if !errors.Is(err, ErrNotReady) || rows.Next() || !errors.Is(rows.Err(), ErrNotReady) {
		t.Errorf("query: %v", err)
	}
	if err := p.QueryRow(ctx, "SELECT 1").Scan(); !errors.Is(err, ErrNotReady) {
		t.Errorf("row: %v", err)
	}
	if err := p.SendBatch(ctx, &pgx.Batch{}).Close(); !errors.Is(err, ErrNotReady) {
		t.Errorf("batch: %v", err)
	}
	if s := p.Stat(); s.State != Absent || s.Pool != nil {
		t.Errorf("%+v", s)
	}
	waiting := make(chan error)
	go func() { waiting <- p.WaitReady(context.Background()) }()
	p.Close()
	p.Close()
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("who waited got %v", err)
	}
	if _, err := p.Begin(context.Background()); !errors.Is(err, ErrClosed) || p.Stat().State != Closed {
		t.Errorf("after the end: %v, %v", err, p.Stat().State)
	}
}

func TestWhatMarksAPrimaryStale(t *testing.T) {
	for code, want := range map[string]bool{"25006": true, "57P01": true, "57P02": true, "57P03": true, "08006": true, "08P01": true,
		"57014": false, "23505": false, "40001": false, "53300": false, "08": false, "": false} {
		if stale(code) != want {
			t.Errorf("%s: %v", code, !want)
		}
	}
}

func TestPeek(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	becomes := func(want peeked) {
		t.Helper()
		for began := time.Now(); peek(ours) != want; time.Sleep(time.Millisecond) {
			if time.Since(began) > 5*time.Second {
				t.Fatalf("got %v, want %v", peek(ours), want)
			}
		}
	}
	becomes(peekNothing)
	_, _ = theirs.Write([]byte("x"))
	becomes(peekData)
	_, _ = ours.Read(make([]byte, 1)) // it was only looked at
	becomes(peekNothing)
	theirs.Close()
	becomes(peekClosed)
}

// TestWatchAnnounces: the stream makes a pool hold that is ready, and lets it go; a broken one is taken up again,
// at the next member, with the id of the last event.
func TestWatchAnnounces(t *testing.T) {
	var asked atomic.Int32
	ids := make(chan string, 10)
	send := make(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/watch" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		if asked.Add(1) == 1 {
			http.Error(w, "not today", http.StatusServiceUnavailable)
			return
		}
		ids <- r.Header.Get("Last-Event-ID")
		for text := range send {
			if text == "" {
				return
			}
			fmt.Fprint(w, text)
			w.(http.Flusher).Flush()
		}
	}))
	defer server.Close()
	defer close(send)
	p := open(t, Config{DSN: "postgresql://app@" + ports.Addr(t) + "/app?sslmode=disable", Watch: &Watch{URLs: []string{server.URL, server.URL + "/"}}})
	p.mu.Lock()
	p.gen = &generation{} // as if one had been found
	p.set(Ready)
	p.mu.Unlock()
	becomes := func(want State) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			got := p.stateNow()
			if got == want {
				return
			}
			if time.Since(began) > 5*time.Second {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	}
	if id := <-ids; id != "" {
		t.Errorf("the first asks for %q", id)
	}
	send <- "id: 4.x.7\nevent: state\ndata: {\"epoch\":4,\"state\":\"switching\"}\n\n"
	becomes(Hold)
	p.confirm() // the old primary still is one: that is no reason to go on
	becomes(Hold)
	send <- ": alive\n\nid: 4.x.8\nevent: state\ndata: {\"epoch\":4,\"state\":\"ready\"}\n\n"
	for began := time.Now(); p.stateNow() != Ready; p.confirm() {
		if time.Since(began) > 5*time.Second {
			t.Fatal("it holds on")
		}
	}
	send <- "" // the stream breaks
	if id := <-ids; id != "" {
		t.Errorf("another member is asked for what came after %q, which it does not know", id)
	}
	send <- ""
	if id := <-ids; id != "4.x.8" {
		t.Errorf("the same member is asked for what came after %q", id)
	}
	p.mu.Lock()
	p.gen = nil
	p.mu.Unlock()
}

// stateNow is the state alone.
func (p *Pool) stateNow() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}
