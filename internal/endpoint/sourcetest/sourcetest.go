// Package sourcetest holds every implementation of endpoint.Source to the same word.
//
// It must not know any of them: what it is given is a source, and a way to change the cluster's records behind it.
package sourcetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/endpoint"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// Cluster is one with members, over which a source of host Name looks.
type Cluster struct {
	Source endpoint.Source
	Name   string
	Put    func(key string, record any) // writes a record, whatever was there
}

const patience = 10 * time.Second

// Run makes a cluster for each test.
func Run(t *testing.T, open func(*testing.T) Cluster) {
	for _, one := range []struct {
		name string
		test func(*testing.T, Cluster)
	}{
		{"state", testState}, {"own record", testRecord}, {"watch", testWatch}, {"bounded", testBounded},
	} {
		t.Run(one.name, func(t *testing.T) { one.test(t, open(t)) })
	}
}

func testState(t *testing.T, c Cluster) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for term := uint64(7); term < 10; term++ { // what was written before the question is in the answer
		c.Put(records.KeyLease, core.LeaseRecord{Holder: "n2", Term: term})
		c.Put(records.KeyOperation, core.Operation{ID: "op", Kind: core.OpSwitchover, Phase: core.PhaseHolding, Term: term})
		v, err := c.Source.State(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if v.Lease.Holder != "n2" || v.Lease.Term != term || v.Operation == nil || v.Operation.Term != term || len(v.Members) == 0 {
			t.Errorf("in term %d: lease %+v, operation %+v, %d members", term, v.Lease, v.Operation, len(v.Members))
		}
	}
}

func testRecord(t *testing.T, c Cluster) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	revision := func() int64 {
		v, err := c.Source.State(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range v.Poolers {
			if p.Name == c.Name {
				return p.Revision
			}
		}
		return 0
	}
	put := func(beat uint64, expect int64) int64 {
		got, err := c.Source.Put(ctx, core.PoolerRecord{Name: c.Name, Beat: beat}, expect)
		if err != nil || got <= expect || got != revision() {
			t.Errorf("put %d over %d: %d, %v; it is %d", beat, expect, got, err, revision())
		}
		return got
	}
	conflict := func(what string, err error) {
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	first := put(1, 0)
	_, err := c.Source.Put(ctx, core.PoolerRecord{Name: c.Name}, 0)
	conflict("a second first one", err)
	second := put(2, first)
	_, err = c.Source.Put(ctx, core.PoolerRecord{Name: c.Name}, first)
	conflict("an old revision", err)
	conflict("its removal by an old revision", c.Source.Delete(ctx, c.Name, first))
	if err := c.Source.Delete(ctx, c.Name, second); err != nil || revision() != 0 {
		t.Errorf("delete: %v; it is %d", err, revision())
	}
	conflict("its removal again", c.Source.Delete(ctx, c.Name, second))
	put(3, 0)
}

func testWatch(t *testing.T, c Cluster) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hints := c.Source.Watch(ctx)
	late := time.After(patience)
	for term := uint64(20); ; term++ { // the first change may come before the watch is up
		c.Put(records.KeyLease, core.LeaseRecord{Holder: "n1", Term: term})
		select {
		case _, open := <-hints:
			if !open {
				t.Fatal("it is closed")
			}
		case <-time.After(50 * time.Millisecond):
			continue
		case <-late:
			t.Fatal("no hint")
		}
		break
	}
	cancel()
	for {
		select {
		case _, open := <-hints:
			if !open {
				return
			}
		case <-late:
			t.Fatal("it is open after its context's end")
		}
	}
}

func testBounded(t *testing.T, c Cluster) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Source.State(ctx); err == nil {
		t.Error("state without time")
	}
	if _, err := c.Source.Put(ctx, core.PoolerRecord{Name: c.Name}, 0); err == nil || errors.Is(err, store.ErrConflict) {
		t.Errorf("put without time: %v", err)
	}
}
