package poolerhost

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// address makes a member of an address, of which the host knows from before.
func address(t *testing.T, name string, ordinal int, at net.Addr) core.MemberRecord {
	t.Helper()
	host, port, err := net.SplitHostPort(at.String())
	n, bad := strconv.Atoi(port)
	if err != nil || bad != nil {
		t.Fatal(err, bad)
	}
	return core.MemberRecord{Name: name, Ordinal: ordinal, Address: host, APIPort: n, PGPort: 5432}
}

// swallows takes connections and says nothing: a machine that is frozen or cut off behaves like that.
func swallows(t *testing.T) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel answers, nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr()
}

// refuses has nobody listening.
func refuses(t *testing.T) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr()
}

// TestSourceFindsWhoAnswers: a member that answers is found within a second behind whatever number of silent ones, and
// is asked first from then on.
func TestSourceFindsWhoAnswers(t *testing.T) {
	f := newFixture(t)
	f.register()
	var members []core.MemberRecord
	for i := range 9 {
		at := swallows(t)
		if i%3 == 1 {
			at = refuses(t)
		}
		m := address(t, fmt.Sprintf("s%d", i), i+1, at)
		members = append(members, m)
		f.put("members/"+m.Name, m)
	}
	good, _ := f.member("z1", 99)
	s := f.source(append(members, good)...)
	took := func() time.Duration {
		began := time.Now()
		v, err := s.State(context.Background())
		if err != nil || len(v.Members) != len(members)+1 {
			t.Fatalf("after %s: %d members, %v", time.Since(began), len(v.Members), err)
		}
		return time.Since(began)
	}
	if first := took(); first > 1500*time.Millisecond { // and what a busy machine adds
		t.Errorf("found after %s", first)
	}
	if at := s.addresses(); at[0] != net.JoinHostPort(good.Address, strconv.Itoa(good.APIPort)) || len(at) != len(members)+1 {
		t.Errorf("asked next: %v", at)
	}
	if again := took(); again > askWithin {
		t.Errorf("the second time after %s: who is silent is asked still", again)
	}
	if revision, err := s.Put(context.Background(), core.PoolerRecord{Name: "app1"}, 0); err != nil || revision == 0 {
		t.Errorf("a record: %v", err)
	}
	select {
	case <-s.Watch(t.Context()):
	case <-time.After(3 * time.Second):
		t.Error("nobody is watched")
	}
}

// TestSourceIsBounded: with nobody to answer there is an answer, in the time that the endpoints give one reading.
func TestSourceIsBounded(t *testing.T) {
	f := newFixture(t)
	s := f.source(address(t, "n1", 1, swallows(t)), address(t, "n2", 2, refuses(t)), address(t, "n3", 3, swallows(t)))
	began := time.Now()
	_, err := s.State(context.Background())
	if took := time.Since(began); err == nil || took > askMax+500*time.Millisecond {
		t.Errorf("after %s: %v", took, err)
	}
	if at := s.addresses(); len(at) != 3 {
		t.Errorf("it forgot somebody: %v", at)
	}
}

// TestSourceTrustsTheNewest: a member whose store was given up for a newer one is heard by nobody who knows that one, and
// the next is asked.
func TestSourceTrustsTheNewest(t *testing.T) {
	old, now := newFixture(t), newFixture(t)
	now.ca, now.dir = old.ca, old.dir
	for i, f := range []*fixture{old, now} {
		f.register()
		f.put("cluster", core.ClusterRecord{ID: old.ca.ClusterID(), Name: "main", Generation: uint64(i)})
	}
	m1, _ := old.member("n1", 1)
	m2, _ := now.member("n2", 2)
	for _, f := range []*fixture{old, now} { // both know both
		f.put("members/n1", m1)
		f.put("members/n2", m2)
	}
	s := now.source(m2, m1)
	for range 2 {
		if v, err := s.State(context.Background()); err != nil || v.Cluster.Generation != 1 {
			t.Errorf("generation %d, %v", v.Cluster.Generation, err)
		}
		s.last(s.addresses()[0]) // so that the old one is asked first, the second time
	}
}
