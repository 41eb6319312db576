package api

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Who guesses tokens is soon not listened to any more; a good token from elsewhere, and any certificate, is.
func TestTooManyRefusals(t *testing.T) {
	f := newFixture(t)
	good, bad := f.access(RoleViewer, time.Hour).Token, f.access(RoleViewer, time.Hour).Token
	last := bad[len(bad)-1]
	bad = bad[:len(bad)-1] + map[bool]string{true: "b", false: "a"}[last == 'a']
	status := func(c *Client) int {
		_, err := c.Status(context.Background())
		if err == nil {
			return http.StatusOK
		}
		return asProblem(err).Status
	}
	if got := status(f.as(good)); got != http.StatusOK {
		t.Fatalf("a good token: %d", got)
	}
	guesser, refused := f.as(bad), 0
	for status(guesser) == http.StatusUnauthorized && refused < 10*refusedBurst {
		refused++
	}
	if refused < refusedBurst || refused > 2*refusedBurst {
		t.Errorf("%d guesses were judged, want about %d", refused, refusedBurst)
	}
	if got := status(f.as(good)); got != http.StatusTooManyRequests {
		t.Errorf("a token from where one is guessed: %d, want 429", got)
	}
	if got := status(f.remote(pair(t, f.ca, "n2"))); got != http.StatusOK {
		t.Errorf("a member from that address: %d", got)
	}
	if got := status(f.local()); got != http.StatusOK {
		t.Errorf("the local administrator: %d", got)
	}
}

// Connections beyond the limit are closed, and there is room again when others end.
func TestCrowdIsKeptOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := newCrowd(l)
	accepted := make(chan net.Conn, 2*connsPerHost)
	go func() {
		for {
			conn, err := c.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	var in []net.Conn
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for range connsPerHost {
		dial()
		in = append(in, <-accepted)
	}
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("one too many was let in, and spoken to")
	}
	in[0].Close()
	in[0].Close()
	dial()
	select {
	case <-accepted:
	case <-time.After(10 * time.Second):
		t.Error("one has gone, and there is no room")
	}
}

// Each change has an entry that says who asked for it; looking, checking and being refused has none. No secret is in it.
func TestChangesAreAudited(t *testing.T) {
	f := newFixture(t)
	ctx, c := context.Background(), f.as(f.access(RoleOperator, time.Hour).Token)
	before := len(f.b.Journal.Events(0))
	if _, err := c.Status(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Drain(ctx, "n3", false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Remove(ctx, "n3"); err == nil {
		t.Fatal("an operator removed a member")
	}
	token, err := f.local().Token(ctx, time.Hour, false)
	if err != nil {
		t.Fatal(err)
	}
	// A word that this route does not know hides nothing.
	if err := c.call(ctx, http.MethodPost, "/v1/pause?dry_run=1", nil, &Accepted{}); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, e := range f.b.Journal.Events(0)[before:] {
		said = append(said, e.Code+": "+e.Text)
	}
	all := strings.Join(said, "\n")
	if len(said) != 3 || !strings.Contains(said[2], "POST /v1/pause") || !strings.Contains(said[0], "audit: ") || !strings.Contains(said[0], "PUT /v1/members/n3/drain") || !strings.Contains(said[0], "(token ") ||
		!strings.Contains(said[1], "join token "+token.ID) || strings.Contains(all, token.Token) {
		t.Errorf("%s", all)
	}
}
