package observe

import (
	"context"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// How long one view waits for its sources. What comes later is in the next view.
const (
	storeWait = 400 * time.Millisecond
	localWait = 300 * time.Millisecond
	peerWait  = 200 * time.Millisecond
	// peerWaitBusy is while an operation is under way: what it waits for is watched or asked for again, and a member
	// that stops or starts its server answers late.
	peerWaitBusy = 15 * time.Millisecond
	ageHeld      = 250 * time.Millisecond // of answers, while clients are held
)

// Observer gathers views.
type Observer struct {
	Self    string
	Ordinal int // of this member's identity
	Now     func() core.Instant
	Store   *StoreSource
	Local   *LocalSource // nil on a witness
	Peers   *PeerSource
	Job     func() core.Job
	Kept    func() core.Kept // nil on a witness
	State   *StateVolume
}

// View reads everything once. It takes at most storeWait plus what the kernel needs.
func (o *Observer) View(ctx context.Context) core.View {
	var wg sync.WaitGroup
	patience := o.Store.patience()
	o.Peers.ask(ctx, o.Store.members(), patience.peers)
	wg.Go(func() { o.Store.refresh(ctx) })
	if o.Local != nil {
		wg.Go(func() { o.Local.noOlder(ctx, patience.own) })
	}
	wg.Go(func() { o.Peers.wait(ctx, patience.wait) })
	wg.Wait()

	v := core.View{Self: o.Self, Ordinal: o.Ordinal, Now: o.Now(), Wall: time.Now().UnixMilli()}
	v.Store = o.Store.view()
	if o.Local != nil {
		v.Local = o.Local.view()
	}
	v.Local.Job = o.Job()
	v.Local.Disk.State = o.State.view()
	if o.Kept != nil {
		v.Local.Kept = o.Kept()
	}
	v.Peers = o.Peers.view(v.Store.Members, v.Now)
	return v
}

// flight lets one read run at a time and lets callers wait for it for a while. A read
// that hangs (a dead disk, a dropped packet) holds up nobody and is not started twice.
type flight struct {
	mu   sync.Mutex
	done chan struct{} // of the running read; nil when none runs
}

// start runs read in the background unless it runs already; the channel closes at its end.
func (f *flight) start(read func()) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done == nil {
		done := make(chan struct{})
		f.done = done
		go func() {
			read()
			f.mu.Lock()
			f.done = nil
			f.mu.Unlock()
			close(done)
		}()
	}
	return f.done
}

// within waits for done, but no longer than limit.
func within(ctx context.Context, done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
