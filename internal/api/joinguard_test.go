package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// TestHalfOpenJoinsBlockNobody: more connections than slots send the head of a join and
// then nothing; an honest join goes on.
func TestHalfOpenJoinsBlockNobody(t *testing.T) {
	reading := make(chan struct{}, 2*joinsMax)
	f := newFixture(t)
	served := f.s.http.Handler
	f.s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = noted{r.Body, reading}
		served.ServeHTTP(w, r)
	})
	for range 2 * joinsMax {
		c, err := tls.Dial("tcp", f.s.Addr().String(), pki.PinnedTLS(f.ca.Fingerprint()))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	}
	limit := time.After(10 * time.Second)
	for n := 0; n < joinsMax+1; n++ { // a server that gives slots first stops at joinsMax
		select {
		case <-reading:
		case <-limit:
			t.Fatalf("%d bodies are read at once", n)
		}
	}
	if _, err := f.remote(nil).Join(context.Background(), f.joiner("n4", f.token(false))); err != nil {
		t.Errorf("an honest join: %v", err)
	}
}

// noted says when a body is read first.
type noted struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	reading chan struct{}
}

func (n noted) Close() error { return n.body.Close() }

func (n noted) Read(p []byte) (int, error) {
	select {
	case n.reading <- struct{}{}:
	default:
	}
	return n.body.Read(p)
}

// TestUnknownTokenTakesNoSlot: with all slots taken a wrong token is told so.
func TestUnknownTokenTakesNoSlot(t *testing.T) {
	f := newFixture(t)
	good := f.token(false)
	for range joinsMax {
		f.s.joins <- struct{}{}
	}
	unknown, _, err := pki.NewToken(f.ca.Fingerprint(), time.Now(), time.Hour, tokenMember)
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{unknown: "token_unknown", "x": "token_malformed", good: "busy"} {
		if _, err := f.remote(nil).Join(context.Background(), f.joiner("n4", token)); codeOf(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestWitnessOfAnExternalStoreIsRefused(t *testing.T) {
	endpoints := []string{"https://10.0.0.9:2379"}
	f := newFixture(t, func(b *Backend) { b.StoreEndpoints = func() []string { return endpoints } })
	r := f.joiner("w1", f.token(true))
	r.Witness, r.PGPort, r.PGMajor = true, 0, 0
	if _, err := f.remote(nil).Join(context.Background(), r); codeOf(err) != "witness_useless" {
		t.Fatalf("with an external store: %v", err)
	}
	endpoints = nil
	if _, err := f.remote(nil).Join(context.Background(), r); err != nil {
		t.Errorf("the refusal spent the token: %v", err)
	}
}

// failing refuses to write one key.
type failing struct {
	store.Store
	key string
	err error
}

func (f failing) Put(ctx context.Context, key string, value []byte, expect int64) (int64, error) {
	if key == f.key {
		return 0, f.err
	}
	return f.Store.Put(ctx, key, value, expect)
}

func TestJoinThatFailsAfterTheTokenSaysSo(t *testing.T) {
	for _, c := range []struct {
		key  string
		err  error
		hint string
	}{
		{records.MemberPrefix + "n4", store.ErrConflict, "make a new token"},
		{records.MemberPrefix + "n4", store.ErrUnavailable, "`pgherd remove n4`"},
		{keyOrdinal, store.ErrConflict, "make a new token"},
		{keyOrdinal, errors.New("disk full"), "make a new token"},
	} {
		f := newFixture(t, func(b *Backend) { b.Store = failing{b.Store, c.key, c.err} })
		r := f.joiner("n4", f.token(false))
		_, err := f.remote(nil).Join(context.Background(), r)
		var p *Problem
		if !errors.As(err, &p) || p.Code != CodeTokenSpent || p.Refused() || !strings.Contains(p.Detail, "token is spent") || !strings.Contains(p.Hint, c.hint) {
			t.Errorf("%s, %v: %#v", c.key, c.err, err)
		}
		if _, err := f.remote(nil).Join(context.Background(), r); codeOf(err) != "token_used" {
			t.Errorf("it is not spent: %v", err)
		}
	}
}

// logged is a log that handlers write and the test reads.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func TestStrangersDoNotFillTheLog(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		var log logged
		f := newFixture(t, func(b *Backend) { b.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})) })
		path := "/" + strings.Repeat("x", 8000)
		if err := f.remote(nil).call(context.Background(), http.MethodGet, path, nil, nil); codeOf(err) != "no_route" {
			t.Fatal(err)
		}
		_, err := f.remote(nil).Join(context.Background(), f.joiner("n4", "x"))
		if codeOf(err) != "token_malformed" {
			t.Fatal(err)
		}
		said := log.take()
		if level == slog.LevelInfo && said != "" {
			t.Errorf("at Info: %.300s", said)
		}
		if level == slog.LevelDebug && (!strings.Contains(said, "code=no_route") || strings.Contains(said, strings.Repeat("x", loggedBytesMax+1))) {
			t.Errorf("at Debug: %.600s", said)
		}
		if err := f.local().call(context.Background(), http.MethodDelete, "/v1/members/n9", nil, nil); codeOf(err) != "no_such_member" {
			t.Fatal(err)
		}
		if said := log.take(); !strings.Contains(said, "level=INFO") || !strings.Contains(said, "/v1/members/n9") {
			t.Errorf("an administrator's refusal: %q", said)
		}
	}
}

func TestRemoveTakesTheRequestWithIt(t *testing.T) {
	f := newFixture(t)
	if _, err := f.local().Request(context.Background(), "n3", core.RequestReinit); err != nil {
		t.Fatal(err)
	}
	if _, err := f.local().Remove(context.Background(), "n3"); err != nil {
		t.Fatal(err)
	}
	if f.get(records.RequestPrefix+"n3", &core.Request{}) {
		t.Error("its request is left: the next member of that name would be cloned anew")
	}
}

// TestRemoveWaitsForALeader: whose word an election may need is not removed in a vacancy.
func TestRemoveWaitsForALeader(t *testing.T) {
	sync := core.SyncSet{Members: []string{"n2"}, K: 1}
	for name, c := range map[string]struct {
		prepare func(*fixture)
		member  string
		want    string
	}{
		"released":        {func(f *fixture) { f.put(records.KeyLease, core.LeaseRecord{Holder: "n1", Released: true, Sync: sync}) }, "n2", "needed_for_election"},
		"holder silent":   {func(f *fixture) { delete(f.known, "n1") }, "n2", "needed_for_election"},
		"holder no more":  {func(f *fixture) { s := f.known["n1"]; s.Instance.Primary = false; f.known["n1"] = s }, "n2", "needed_for_election"},
		"another member":  {func(f *fixture) { f.put(records.KeyLease, core.LeaseRecord{Holder: "n1", Released: true, Sync: sync}) }, "n3", ""},
		"there is a lead": {func(*fixture) {}, "n2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.put(records.KeyLease, core.LeaseRecord{Holder: "n1", Term: 4, Sync: sync})
			c.prepare(f)
			_, err := f.local().Remove(context.Background(), c.member)
			if codeOf(err) != c.want {
				t.Errorf("%v, want %q", err, c.want)
			}
			if there := f.get(records.MemberPrefix+c.member, &core.MemberRecord{}); there != (c.want != "") {
				t.Errorf("the record is there: %v", there)
			}
		})
	}
}
