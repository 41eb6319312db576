package embed_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/store/embed"
	"github.com/pgherd/pgherd/internal/store/etcd"
)

// grow adds a member as the agent does: learner, start, promote.
func (c *testCluster) grow(s *etcd.Store, name string) {
	c.t.Helper()
	peer := c.config(name).PeerAdvertise
	var all []embed.Member
	for range 2 { // again: as after a crash
		all = c.addLearner(s, peer)
	}
	id := c.id(all, peer)
	if err := embed.Promote(ctx(c.t), s.Client(), id); !errors.Is(err, embed.ErrNotReady) {
		c.t.Fatalf("promoted before it was started: %v", err)
	}
	_, err := embed.AddLearner(ctx(c.t), s.Client(), "https://127.0.0.1:1")
	if !errors.Is(err, embed.ErrBusy) && !errors.Is(err, embed.ErrUnhealthy) {
		c.t.Fatalf("a second learner: %v", err)
	}
	c.start(name, embed.InitialFor(all, name, peer), embed.StateExisting)
	eventually(c.t, name+" to vote", func() bool {
		err := embed.Promote(ctx(c.t), s.Client(), id)
		if err != nil && !errors.Is(err, embed.ErrNotReady) {
			c.t.Fatal(err)
		}
		return err == nil
	})
	if err := embed.Promote(ctx(c.t), s.Client(), id); err != nil {
		c.t.Fatalf("promote again: %v", err)
	}
	c.ready(name)
}

func (c *testCluster) addLearner(s *etcd.Store, peer string) (all []embed.Member) {
	c.t.Helper()
	eventually(c.t, "a learner to be allowed", func() bool {
		var err error
		all, err = embed.AddLearner(ctx(c.t), s.Client(), peer)
		if err != nil && !errors.Is(err, embed.ErrUnhealthy) {
			c.t.Fatal(err)
		}
		return err == nil
	})
	return all
}

func (c *testCluster) id(all []embed.Member, peer string) uint64 {
	c.t.Helper()
	for _, m := range all {
		if slices.Contains(m.PeerURLs, peer) {
			return m.ID
		}
	}
	c.t.Fatalf("%s is not among %v", peer, all)
	return 0
}

func (c *testCluster) members(s *etcd.Store) []embed.Member {
	c.t.Helper()
	all, err := embed.Members(ctx(c.t), s.Client())
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

func TestGrowReplaceAndMove(t *testing.T) {
	c := newCluster(t, "n1")
	s := c.dial("n1")
	rev, err := s.Put(ctx(t), "k", []byte("v"), 0)
	if err != nil {
		t.Fatal(err)
	}
	c.grow(s, "n2")
	s.SetEndpoints(c.endpoints("n1", "n2"))
	c.grow(s, "n3")
	s.SetEndpoints(c.endpoints("n1", "n2", "n3"))
	wantVoters(t, c.members(s), "n1", "n2", "n3")

	c.replace(s, "n2", "n4")
	wantVoters(t, c.members(s), "n1", "n3", "n4")
	c.moveLeadership()
	c.removeRunning(s)

	for _, name := range []string{"n3", "n4"} { // each has the data
		snap, err := c.dial(name).Snapshot(ctx(t))
		if err != nil || snap.Entries["k"].Revision != rev {
			t.Fatalf("%s: %v, %v", name, snap, err)
		}
	}
}

// replace is for a member that is gone for good.
func (c *testCluster) replace(s *etcd.Store, lost, by string) {
	c.t.Helper()
	id := c.servers[lost].MemberID()
	c.stop(lost)
	for range 2 {
		if err := embed.Remove(ctx(c.t), s.Client(), id); err != nil {
			c.t.Fatal(err)
		}
	}
	c.grow(s, by)
	s.SetEndpoints(c.endpoints("n1", "n3", by))
}

func (c *testCluster) moveLeadership() {
	c.t.Helper()
	old := c.leader()
	if err := c.servers[old].MoveLeadership(ctx(c.t)); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "another leader", func() bool { return !c.servers[old].IsLeader() && c.leader() != old })
	if err := c.servers[old].MoveLeadership(ctx(c.t)); err != nil {
		c.t.Fatalf("a follower has nothing to move: %v", err)
	}
}

// removeRunning removes n1 while it runs: it says so, and the others go on.
func (c *testCluster) removeRunning(s *etcd.Store) {
	c.t.Helper()
	s.SetEndpoints(c.endpoints("n3", "n4"))
	eventually(c.t, "the removal to be allowed", func() bool {
		err := embed.Remove(ctx(c.t), s.Client(), c.servers["n1"].MemberID())
		if err != nil && !errors.Is(err, embed.ErrUnhealthy) {
			c.t.Fatal(err)
		}
		return err == nil
	})
	select {
	case err := <-c.servers["n1"].ErrNotify():
		if !errors.Is(err, embed.ErrStopped) {
			c.t.Fatalf("notified of %v", err)
		}
	case <-time.After(patience):
		c.t.Fatal("a removed member was not told")
	}
	c.stop("n1")
	wantVoters(c.t, c.members(s), "n3", "n4")
}

func wantVoters(t *testing.T, all []embed.Member, want ...string) {
	t.Helper()
	var voters []string
	for _, m := range all {
		if !m.Learner && m.Started {
			voters = append(voters, m.Name)
		}
	}
	if slices.Sort(voters); len(all) != len(want) || !slices.Equal(voters, want) {
		t.Fatalf("members %+v, want voters %v", all, want)
	}
}

func TestMoveLeadershipAlone(t *testing.T) {
	c := newCluster(t, "n1")
	if err := c.servers["n1"].MoveLeadership(ctx(t)); err != nil || !c.servers["n1"].IsLeader() {
		t.Fatalf("error %v, leader %v", err, c.servers["n1"].IsLeader())
	}
}

func TestJoinWithoutAnyoneThere(t *testing.T) {
	c := newCluster(t)
	cfg := c.config("n2")
	cfg.State = embed.StateExisting
	cfg.Initial = map[string]string{"n1": "https://127.0.0.1:1", "n2": cfg.PeerAdvertise}
	s, err := embed.Start(ctx(t), cfg)
	if err == nil {
		s.Close()
		t.Fatal("it joined nobody")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("no answer but %v", err)
	}
	t.Log(err)
}
