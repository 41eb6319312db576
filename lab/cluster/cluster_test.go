//go:build lab

package cluster

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgherd/pgherd/lab/rig"
)

var exe string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pgherd-lab-bin-")
	if err == nil {
		defer os.RemoveAll(dir)
		exe, err = Prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab/cluster:", err)
		return 1
	}
	defer rig.CloseAll()
	return m.Run()
}

func up(t *testing.T, disks rig.Disks) *Cluster {
	t.Helper()
	r, err := rig.New(rig.Spec{Hosts: 3, UID: Owner.UID, GID: Owner.GID, Disks: disks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	began := time.Now()
	c := Up(t, r, Config{Exe: exe})
	t.Logf("up after %v", time.Since(began).Round(time.Millisecond))
	return c
}

// write inserts rows on one member until the test ends, and counts those acknowledged.
func write(t *testing.T, m *Member) *atomic.Int64 {
	var acked atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if conn, err := m.Connect(ctx); err == nil {
				for err == nil {
					if _, err = conn.Exec(ctx, "INSERT INTO smoke DEFAULT VALUES"); err == nil {
						acked.Add(1)
					}
				}
				_ = conn.Close(context.Background())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return &acked
}

// TestSmoke: a cluster comes up on hosts of its own, a killed postmaster moves the lead, and
// a cut shows the members different truths while the test sees all of them.
func TestSmoke(t *testing.T) {
	c := up(t, rig.Disks{})
	p := c.Primary()
	if _, err := p.Query("SELECT true::text FROM (SELECT 1) x"); err != nil {
		t.Fatal(err)
	}
	conn, err := p.Connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(context.Background(), "CREATE TABLE smoke (id bigserial PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(context.Background())
	acked := write(t, p)
	c.Wait(5*time.Second, "writes", func() bool { return acked.Load() > 20 })
	p.Kill(Postmaster)
	next := c.WaitPrimary(10*time.Second, c.Others(p)...)
	c.WaitReady(30 * time.Second)
	if err := c.Rig.Isolate(next.Host); err != nil {
		t.Fatal(err)
	}
	c.WaitPrimary(15*time.Second, c.Others(next)...)
	if err := c.Rig.HealAll(); err != nil {
		t.Fatal(err)
	}
	c.WaitReady(60 * time.Second)
}

// TestDisks: the same on file systems of their own, and a power cut of everything.
func TestDisks(t *testing.T) {
	c := up(t, rig.Disks{DataMB: 300, WALMB: 300, StoreMB: 300})
	for _, m := range c.Members {
		m.PowerCut()
	}
	for _, m := range c.Members {
		if left := m.Host.Processes(); len(left) > 0 {
			t.Errorf("%s: left: %+v", m.Name, left)
		}
		m.StartAgent()
	}
	c.WaitReady(60 * time.Second)
}
