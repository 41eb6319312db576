package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/internal/store/records"
)

var (
	errEmptyStore = errors.New("the store answers, but holds no record of this cluster")
	errSuperseded = errors.New("the store was rebuilt since: this member goes over to the new one")
)

// check judges a snapshot before anything believes it: is it of the store that this member belongs to? A
// store that was replaced, or has lost its records, is no answer.
func (a *Agent) check(s store.Snapshot, v core.StoreView) error {
	_, has := s.Entries[records.KeyCluster]
	switch {
	case !has && (a.gen.Number > 0 || a.kept.of(0) || a.id.First && a.hasFounded()):
		a.kept.forget()
		a.ours.Store(false)
		return errEmptyStore
	case !has:
		a.ours.Store(true) // a cluster that is being founded
		return nil
	case v.Cluster.Generation > a.gen.Number:
		a.ours.Store(false)
		go a.succeed(v.Cluster.Generation, "the store says so")
		return errSuperseded
	case v.Cluster.Generation < a.gen.Number:
		a.ours.Store(false)
		return fmt.Errorf("the store is of generation %d, this member of %d: it was rebuilt since, and is not believed", v.Cluster.Generation, a.gen.Number)
	}
	a.ours.Store(true)
	a.kept.see(a.gen.Number, s)
	return nil
}

// succeed goes over to a newer store, of which the store itself or another member has told.
func (a *Agent) succeed(number uint64, why string) {
	err := a.switchTo(generation{Number: number, Members: a.members()}, "the store was rebuilt (generation %d) without this member, which goes over to it: %s", number, why)
	if err != nil {
		a.o.Log.Error("going over to the rebuilt store", "error", err)
	}
}

// switchTo makes this member part of another store, for good, and begins anew: what this process knows of
// revisions, terms and trust is of the old one. When it returns without error, this member's
// share of the old store has stopped and is never started again.
func (a *Agent) switchTo(g generation, format string, args ...any) error {
	a.switching.Lock()
	defer a.switching.Unlock()
	if g.Number <= a.gen.Number || a.again.Load() {
		return fmt.Errorf("this member belongs to generation %d of the store already, or is on its way to the next", a.gen.Number)
	}
	if g.Founder != "" { // a promise, which may come to nothing
		g.Previous = a.gen.previous(a.founds())
		if a.kept.of(g.Previous.Number) {
			g.Previous.Previous = nil // that store exists: nobody goes back beyond it
		}
	}
	return a.enter(g, format, args...)
}

// enter is the switch itself.
func (a *Agent) enter(g generation, format string, args ...any) error {
	if err := g.save(a.o.Config.StateDir); err != nil {
		return err
	}
	if a.voter != nil {
		a.voter.retire()
		if err := a.writeEndpoints(g.Members); err != nil {
			return err
		}
	}
	a.tell(core.Warning, format, args...)
	a.again.Store(true)
	a.detaching.Store(true) // PostgreSQL stays under the warden, until the deadline if there is one
	a.poke()
	return nil
}

// goBack: the founder of the store that this member promised itself to says that it does not make it. It was asked
// after the promise, by this process, and can make it only with another promise of ours.
func (a *Agent) goBack(founder peer.Status) error {
	a.switching.Lock()
	defer a.switching.Unlock()
	promised := a.gen.Founder != "" && a.gen.Founder != a.id.Member && !a.kept.of(a.gen.Number) && a.gen.Previous != nil
	if !promised || a.again.Load() || founder.Belongs == a.gen.Number || founder.Founding == a.gen.Number {
		return nil
	}
	return a.enter(*a.gen.Previous, "%s does not make generation %d of the store: this member goes back to generation %d", founder.Name, a.gen.Number, a.gen.Previous.Number)
}

func (a *Agent) writeEndpoints(members []core.MemberRecord) error {
	var urls []string
	for _, m := range members {
		urls = append(urls, storeURL(m))
	}
	if len(urls) == 0 {
		return nil
	}
	data, err := json.Marshal(urls)
	if err != nil {
		return err
	}
	return WriteFile(a.voter.endpointsFile(), data, 0o600)
}

// tell writes an event that no tick shows.
func (a *Agent) tell(severity core.Severity, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	a.o.Log.Warn("recovery of the store", "text", text)
	a.journal.Tell(journal.Event{At: time.Now(), Member: a.o.Config.Name, Code: journal.EventRecovery, Severity: severity, Text: text})
}

// members are the others as far as they are known, with this one.
func (a *Agent) members() []core.MemberRecord {
	for _, list := range [][]core.MemberRecord{a.latest().View.Store.Members, a.kept.view().Members, a.gen.Members} {
		if len(list) > 0 {
			return list
		}
	}
	return a.id.Seeds
}

const followEvery = time.Second

// followOthers: a member that a rebuilt store was made without hears of it from those who are part of it, also
// when its own old store still answers it. It must not lead there any longer.
func (a *Agent) followOthers(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		for name, s := range a.observer.Peers.Statuses() {
			if s.Generation > a.gen.Number {
				a.succeed(s.Generation, name+" says so")
			}
			if name != a.gen.Founder {
				continue
			}
			if err := a.goBack(s); err != nil {
				a.o.Log.Error("going back to the store before", "error", err)
			}
		}
	}
}

// founds says that this member is to make the store of its generation.
func (a *Agent) founds() bool {
	return a.gen.Number > 0 && a.gen.Founder == a.id.Member && !a.hasFounded()
}

// refound writes the first records of a rebuilt store. Before that, nobody may trust a lease of the old
// one any more: a member that is cut off does so for at most a ttl.
func (a *Agent) refound(ctx context.Context) error {
	select {
	case <-time.After(time.Duration(a.gen.WaitMS) * time.Millisecond):
	case <-ctx.Done():
		return nil
	}
	for ctx.Err() == nil {
		err := a.writeFirst(ctx)
		if err == nil {
			a.tell(core.Warning, "the store is rebuilt: generation %d", a.gen.Number)
			a.poke()
			return a.founded()
		}
		a.o.Log.Warn("the rebuilt store does not take its first records yet", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

func (a *Agent) writeFirst(ctx context.Context) error {
	keys := []string{}
	for key := range a.gen.Records {
		if key != records.KeyCluster {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range append(keys, records.KeyCluster) { // the last one says that the store exists
		if err := a.putOnce(ctx, key, a.gen.Records[key]); err != nil {
			return err
		}
	}
	return a.markOlder(ctx)
}

// markOlder leaves word where members of older generations look.
func (a *Agent) markOlder(ctx context.Context) error {
	mark := core.ClusterRecord{ID: a.id.ClusterID, Name: a.id.Cluster, Generation: a.gen.Number}
	for old := range a.gen.Number {
		config := a.storeConfig
		config.Prefix = generation{Number: old}.prefix(a.prefix)
		config.Endpoints = a.store.Endpoints()
		s, err := etcd.Dial(ctx, config)
		if err != nil {
			return err
		}
		err = a.putOnceInto(ctx, s, records.KeyCluster, mark)
		_ = s.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// foundedName marks a state directory whose cluster exists, for each generation. Without it a store that
// was lost would make its founder found it a second time, over live data.
func (a *Agent) foundedFile() string {
	return filepath.Join(a.o.Config.StateDir, foundedName+a.gen.suffix())
}
