package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store"
)

const (
	putMax   = 2 * time.Second
	putAgain = 100 * time.Millisecond
	// textEvery: what is wrong is said with numbers, which may be others each second.
	textEvery = 5 * time.Second
	calmAfter = 250 * time.Millisecond // a hold: see quiet
)

// recorder writes this host's record: when something in it changes, and every core.PoolerBeat.
type recorder struct {
	source Source
	log    *slog.Logger

	changed  chan struct{}
	mu       sync.Mutex
	wanted   core.PoolerRecord // without Beat; no name: none is to be written
	gone     string            // the name of a record that is to be taken back
	written  core.PoolerRecord
	at       time.Time
	revision int64 // of the record in the store, as far as is known
	beat     uint64
	calm     time.Time // until when it is not said that clients were let go; zero: they are held
	store    uint64    // the generation of the store that revision is of
}

// seen takes over what the store has: the revision for the next writing, and the beat to go on from.
func (r *recorder) seen(v core.StoreView, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.Cluster.Generation > r.store { // a store that was rebuilt counts its revisions anew
		r.store, r.revision = v.Cluster.Generation, 0
	}
	for _, p := range v.Poolers {
		if p.Name == name { // a reading that began before our last writing says less than that
			r.revision, r.beat = max(r.revision, p.Revision), max(r.beat, p.Beat)
			return
		}
	}
	if r.revision = 0; r.written.Name == name { // it was taken away: it is missed before the next beat is due
		r.written = core.PoolerRecord{}
		hint(r.changed)
	}
}

// set says what the record is to be.
func (r *recorder) set(wanted core.PoolerRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted, r.gone = wanted, ""
	if r.due() {
		hint(r.changed)
	}
}

// withdraw says that there is to be none.
func (r *recorder) withdraw(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted, r.gone = core.PoolerRecord{}, name
	if r.revision != 0 {
		hint(r.changed)
	}
}

// due: the number of clients changes all the time, and is news for nobody. The caller has the lock.
func (r *recorder) due() bool {
	if r.wanted.Name == "" {
		return false
	}
	was, is := r.written, r.wanted
	was.Beat, is.Beat, was.Clients, is.Clients = 0, 0, 0, 0
	if time.Since(r.at) < textEvery && r.quiet() {
		return false
	}
	if (was.Text == "") == (is.Text == "") && time.Since(r.at) < textEvery {
		was.Text, is.Text = "", ""
	}
	return time.Since(r.at) >= core.PoolerBeat || !reflect.DeepEqual(was, is)
}

// quiet: in a handover nothing is waited for but that a host's clients are held. What else there is to write would have every
// member read the store while the primary moves, or while clients make up for the time that they were held.
func (r *recorder) quiet() bool {
	h, told := r.wanted.Hold, r.written.Hold
	switch {
	case h == nil:
		return false
	case h.State == core.HoldHolding: // most have drained before it is written, and that would have to wait
		return true
	case told == nil || told.Operation != h.Operation || told.State != core.HoldHeld:
		return false
	case h.State == core.HoldOver:
		if r.calm.IsZero() {
			r.calm = time.Now().Add(calmAfter)
			time.AfterFunc(calmAfter, func() { hint(r.changed) })
		}
		return time.Now().Before(r.calm)
	}
	r.calm = time.Time{}
	return h.State == core.HoldHeld
}

func (r *recorder) run(ctx context.Context) {
	tick := time.NewTicker(core.PoolerBeat / 4)
	defer tick.Stop()
	for {
		select {
		case <-r.changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil && !r.write(ctx) {
			select {
			case <-time.After(putAgain):
			case <-ctx.Done():
			}
		}
	}
}

// write says that nothing is left to be written.
func (r *recorder) write(ctx context.Context) (done bool) {
	r.mu.Lock()
	if gone := r.gone; gone != "" {
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, putMax)
		defer cancel()
		return r.remove(ctx, gone) == nil
	}
	if !r.due() {
		r.mu.Unlock()
		return true
	}
	record, expect := r.wanted, r.revision
	r.beat++
	record.Beat = r.beat
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, putMax)
	defer cancel()
	revision, err := r.source.Put(ctx, record, expect)
	if err != nil {
		r.again(ctx, record.Name, err)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written, r.at, r.revision = record, time.Now(), revision
	if r.due() {
		hint(r.changed) // what came up meanwhile is no failure that would have to be waited out
	}
	return true
}

// again reads the revision that a writing expected wrongly, or whose outcome is not known.
func (r *recorder) again(ctx context.Context, name string, err error) {
	if !errors.Is(err, store.ErrConflict) && ctx.Err() == nil {
		r.log.Debug("the endpoints' record was not written", "error", err)
	}
	if v, err := r.source.State(ctx); err == nil {
		r.seen(v, name)
	}
}

// remove deletes the record: nobody is to wait for this host any more.
func (r *recorder) remove(ctx context.Context, name string) error {
	for {
		v, err := r.source.State(ctx)
		if err != nil {
			return err
		}
		r.seen(v, name)
		r.mu.Lock()
		revision := r.revision
		r.wanted, r.written = core.PoolerRecord{}, core.PoolerRecord{}
		r.mu.Unlock()
		if revision == 0 {
			return nil
		}
		if err = r.source.Delete(ctx, name, revision); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}
