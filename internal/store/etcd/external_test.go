package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/internal/store/storetest"
)

type factory struct {
	config func(prefix string) etcd.Config
	opened atomic.Int32
}

func (f *factory) Open(t *testing.T) store.Store {
	f.opened.Add(1)
	return f.Another(t, nil)
}

func (f *factory) Another(t *testing.T, _ store.Store) store.Store {
	return dial(t, f.config(fmt.Sprintf("/pgherd/%d", f.opened.Load())))
}

func TestConformanceOfExternalEtcd(t *testing.T) {
	p := startProcesses(t, 1)
	storetest.Run(t, &factory{config: p.config})
}

func TestPrefixesDoNotOverlap(t *testing.T) {
	p := startProcesses(t, 1)
	short, long := p.dial("/a"), p.dial("/ab")
	if _, err := long.Put(ctx(t), "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	snap, err := short.Snapshot(ctx(t))
	if err != nil || len(snap.Entries) != 0 {
		t.Fatalf("%v, %v", snap.Entries, err)
	}
}

func TestDialDoesNotWait(t *testing.T) {
	p := newProcesses(t, 1)
	s := p.dial("/a")
	hints := s.Watch(ctx(t), nil)
	call, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.Snapshot(call); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("without a server: %v", err)
	}
	p.start(0)
	if _, err := s.Put(ctx(t), "k", nil, 0); err != nil {
		t.Fatalf("once there is a server: %v", err)
	}
	<-hints
}

func TestDialRefusesBadEndpoints(t *testing.T) {
	for _, endpoints := range [][]string{nil, {"127.0.0.1:2379"}, {"ftp://127.0.0.1:2379"}, {"https://127.0.0.1"}, {"http://127.0.0.1:1", "%"}} {
		if s, err := etcd.Dial(ctx(t), etcd.Config{Endpoints: endpoints}); err == nil {
			s.Close()
			t.Errorf("%q was accepted", endpoints)
		}
	}
}

// outages are what can happen to the endpoint in use, and how long a lease holder with calls of 1 s may then be without a
// renewal: where the leader is gone, beyond the time in which etcd itself has none. (An election may be tied and begin again, a second or two later.)
var outages = map[string]struct {
	signal syscall.Signal
	leads  bool
	max    time.Duration
}{
	"follower killed": {syscall.SIGKILL, false, 900 * time.Millisecond}, // its end is heard: no call has to wait for its limit
	"follower frozen": {syscall.SIGSTOP, false, time.Second},            // as powered off: silence
	"leader killed":   {syscall.SIGKILL, true, 2300 * time.Millisecond}, // a write and the look whether it was done, each of 1 s
	"leader frozen":   {syscall.SIGSTOP, true, 2300 * time.Millisecond},
}

func TestEndpointInUseFails(t *testing.T) {
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			p := startProcesses(t, 3)
			s := p.dial("/a")
			rev, err := s.Put(ctx(t), "lease", []byte("v"), 0)
			if err != nil {
				t.Fatal(err)
			}
			victim := p.find(s, outage.leads)
			s.SetEndpoints([]string{p.clients[victim], p.clients[(victim+1)%3], p.clients[(victim+2)%3]})
			if rev, err = s.Put(ctx(t), "lease", []byte("v"), rev); err != nil {
				t.Fatal(err)
			}
			hints := s.Watch(ctx(t), nil)
			<-hints
			p.signal(victim, outage.signal)
			leaderless := make(chan time.Duration, 1)
			if outage.leads {
				go p.awaitLeader(s, victim, leaderless)
			} else {
				leaderless <- 0
			}
			worst, none := renewFor(t, s, rev, 7*time.Second), <-leaderless
			t.Logf("longest time between renewals: %v; without a leader for %v", worst, none)
			if worst > none+outage.max {
				t.Errorf("it cost %v, want at most %v beyond the %v without a leader", worst, outage.max, none)
			}
			wantWatching(t, s, hints)
		})
	}
}

// wantWatching: the watch has moved to a living endpoint by itself.
func wantWatching(t *testing.T, s store.Store, hints <-chan struct{}) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		select {
		case <-hints:
		case <-time.After(50 * time.Millisecond):
		}
		rev, err := s.Put(ctx(t), "watched", nil, current(t, s, "watched"))
		if err != nil || rev == 0 {
			t.Fatal(err)
		}
		select {
		case <-hints:
			return
		case <-time.After(time.Second):
		}
	}
	t.Fatal("the watch did not come back")
}

func current(t *testing.T, s store.Store, key string) int64 {
	t.Helper()
	snap, err := s.Snapshot(ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	return snap.Entries[key].Revision
}

// find gives the server that leads, or one that does not.
func (p *processes) find(s *etcd.Store, leads bool) int {
	p.t.Helper()
	for i, url := range p.clients {
		status, err := s.Client().Status(ctx(p.t), url)
		if err != nil {
			p.t.Fatal(err)
		}
		if (status.Leader == status.Header.MemberId) == leads {
			return i
		}
	}
	p.t.Fatal("no such server")
	return 0
}

// awaitLeader tells how long it takes until one of the others says that there is another leader than the victim.
func (p *processes) awaitLeader(s *etcd.Store, victim int, took chan<- time.Duration) {
	began := time.Now()
	for old := uint64(0); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		for i := range p.clients {
			if i == victim {
				continue
			}
			asking, cancel := context.WithTimeout(context.Background(), time.Second)
			status, err := s.Client().Status(asking, p.clients[i])
			cancel()
			if err != nil || status.Leader == 0 {
				continue
			}
			if old == 0 {
				old = status.Leader // nobody has noticed yet
			}
			if status.Leader != old {
				took <- time.Since(began)
				return
			}
		}
	}
	took <- patience
}

// renewFor renews like a lease holder, every 50 ms with 1 s a call, and gives
// the longest time between successes.
func renewFor(t *testing.T, s store.Store, rev int64, span time.Duration) (worst time.Duration) {
	t.Helper()
	last := time.Now()
	for end := last.Add(span); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var err error
		if rev, err = renew(t, s, rev); err != nil {
			t.Logf("after %v: %v", time.Since(last), err)
			continue
		}
		worst = max(worst, time.Since(last))
		last = time.Now()
	}
	return max(worst, time.Since(last))
}

func renew(t *testing.T, s store.Store, rev int64) (int64, error) {
	call, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	next, err := s.Put(call, "lease", []byte("v"), rev)
	if err == nil {
		return next, nil
	}
	if errors.Is(err, store.ErrConflict) {
		t.Fatalf("a conflict, but nobody else writes: %v", err)
	}
	again, cancelAgain := context.WithTimeout(t.Context(), time.Second)
	defer cancelAgain()
	if snap, err := s.Snapshot(again); err == nil { // the write may have been done
		rev = snap.Entries["lease"].Revision
	}
	return rev, err
}
