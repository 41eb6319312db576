package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/pki"
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

// Who guesses join tokens is told no more than who guesses those for access; a store that is silent is nobody's guess.
func TestTooManyJoinTokens(t *testing.T) {
	f := newFixture(t)
	bad, _, err := pki.NewToken(f.ca.Fingerprint(), time.Now(), time.Hour, tokenMember)
	if err != nil {
		t.Fatal(err)
	}
	join := func(token string) int {
		_, err := f.remote(nil).Join(context.Background(), f.joiner("n4", token))
		if err == nil {
			return http.StatusOK
		}
		return asProblem(err).Status
	}
	judged := 0
	for join(bad) == http.StatusForbidden && judged < 10*refusedBurst {
		judged++
	}
	if judged < refusedBurst || judged > 2*refusedBurst {
		t.Errorf("%d guesses were judged, want about %d", judged, refusedBurst)
	}
	if got := join("x"); got != http.StatusTooManyRequests {
		t.Errorf("a malformed one after that: %d, want 429", got)
	}
}

// A flood from everywhere does not make one address's refusals forgotten, and one machine's many addresses are one.
func TestStrangersAreKeptApart(t *testing.T) {
	s := &strangers{}
	from := func(address string) *http.Request { return &http.Request{RemoteAddr: address} }
	guesser := from("192.0.2.1:1000")
	for range refusedBurst {
		s.refused(guesser)
	}
	if !s.tooMany(guesser) {
		t.Fatal("the guesser is listened to")
	}
	for i := range 3 * strangersKnown { // who asks and is not refused takes no room
		s.tooMany(from(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255)))
	}
	if len(s.known) != 1 {
		t.Errorf("%d are kept", len(s.known))
	}
	for i := range 3 * strangersKnown {
		s.refused(from(fmt.Sprintf("11.%d.%d.%d:1", i>>16, i>>8&255, i&255)))
	}
	if len(s.known) > strangersKnown {
		t.Errorf("%d are kept", len(s.known))
	}
	for range refusedBurst {
		s.refused(guesser)
	}
	if !s.tooMany(guesser) {
		t.Error("who looked once made the guesser's refusals forgotten")
	}
	for i := range refusedBurst {
		s.refused(from(fmt.Sprintf("[2001:db8::%x]:1", i+1)))
	}
	if !s.tooMany(from("[2001:db8::ffff]:1")) || s.tooMany(from("[2001:db8:0:1::1]:1")) {
		t.Error("addresses of one /64 are not one, or those of two are")
	}
	if s.tooMany(from("@")) { // the unix socket
		t.Error("a local caller is counted")
	}
}
