package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/warden"
)

// keeper looks after the evidence of forks in the background, apart from the tick: the
// disk of the state directory may hang, and deleting or measuring a large directory takes its time.
// It deletes only what a step has taken out of the list.
type keeper struct {
	a    *Agent
	dir  string
	poke chan struct{}

	mu    sync.Mutex // one look at a time
	sizes map[string]int64
	ages  ages
	seen  []string // saved forks at the last look; nil: not known

	told   sync.Mutex
	kept   core.Kept
	summed []snapshot.Kept // of each saved fork
}

const (
	keeperPause = 10 * time.Second
	namesLimit  = 3 * time.Second
)

// newKeeper knows from the first tick on what was saved before: the journal must not tell it as news.
func newKeeper(a *Agent) *keeper {
	k := &keeper{a: a, dir: forks.DirName(a.o.Config.StateDir), poke: make(chan struct{}, 1), sizes: map[string]int64{}, ages: ages{}}
	if list, err := forks.List(k.dir); err == nil {
		k.seen = idsOf(list)
		k.kept, k.summed = keptOf(list, core.Kept{}, k.seen), sumsOf(list)
	}
	return k
}

// keep looks again after each change, and now and then.
func (k *keeper) keep(ctx context.Context) error {
	for {
		if err := k.look(ctx); err != nil && ctx.Err() == nil {
			k.a.o.Log.Warn("what is kept of forks cannot be looked after", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-k.poke:
		case <-time.After(keeperPause):
		}
	}
}

func (k *keeper) changed() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// view is what the next decision sees.
func (k *keeper) view() core.Kept {
	k.told.Lock()
	defer k.told.Unlock()
	return k.kept
}

func (k *keeper) look(ctx context.Context) error {
	return errors.Join(k.tell(ctx), forks.Sweep(k.dir), postgres.SweepAside(k.a.server.Instance))
}

// tell gives the next decision what there is.
func (k *keeper) tell(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, stamps, err := k.lists(ctx)
	now := k.view()
	if err == nil {
		now, k.seen = keptOf(list, now, k.seen), idsOf(list)
	}
	now.Overdue = nil
	if v := k.a.latest().View.Store; err == nil && v.Known {
		now.Overdue = k.overdue(list, stamps, v.Spec.Retention())
	}
	k.told.Lock()
	was := k.kept
	if k.kept = now; err == nil {
		k.summed = sumsOf(list)
	}
	k.told.Unlock()
	if was.Text != now.Text || !slices.Equal(was.Overdue, now.Overdue) {
		k.a.poke()
	}
	return err
}

// lists reads what there is; what can be named by now gets its names.
func (k *keeper) lists(ctx context.Context) (list []forks.Summary, stamps []string, err error) {
	if list, err = forks.List(k.dir); err != nil {
		return nil, nil, err
	}
	for i := range list {
		if s := &list[i]; !s.Named && len(s.Relations) > 0 && k.serves() {
			k.name(ctx, s)
		}
	}
	stamps, err = postgres.AsideStamps(k.a.server.Instance)
	return list, stamps, err
}

// serves: the server here runs with the data that names mean something in.
func (k *keeper) serves() bool {
	i := k.a.latest().View.Local.Instance
	return i.State == core.StateRunning && (i.Primary || i.Streaming)
}

// name writes what could be found out into the summary; after a failure it is tried again.
func (k *keeper) name(ctx context.Context, s *forks.Summary) {
	ctx, cancel := context.WithTimeout(ctx, namesLimit)
	defer cancel()
	err := k.a.server.DB.NameRelations(ctx, s.Relations)
	if err == nil {
		s.Named = true
		err = forks.Write(filepath.Join(k.dir, s.ID), *s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may have been dropped meanwhile
		k.a.o.Log.Info("the relations of a fork have no names yet", "fork", s.ID, "error", err)
	}
}

func (k *keeper) overdue(list []forks.Summary, stamps []string, keep spec.Forks) []string {
	ids := k.ages.overdue(list, k.size, keep, time.Now(), warden.BootNow())
	for _, stamp := range stamps[:max(0, len(stamps)-keep.Aside)] {
		ids = append(ids, postgres.AsidePrefix+stamp)
	}
	return ids
}

// size is measured once: what is kept does not change.
func (k *keeper) size(id string) int64 {
	if _, ok := k.sizes[id]; !ok {
		k.sizes[id] = forks.SizeOf(k.dir, id)
	}
	return k.sizes[id]
}

func (k *keeper) asideSize(stamp string) int64 {
	id := postgres.AsidePrefix + stamp
	if _, ok := k.sizes[id]; !ok {
		k.sizes[id] = postgres.AsideBytes(k.a.server.Instance, stamp)
	}
	return k.sizes[id]
}

// entries answers `pgherd forks`.
func (k *keeper) entries(ctx context.Context) ([]api.ForkEntry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, stamps, err := k.lists(ctx)
	if err != nil {
		return nil, err
	}
	entries := []api.ForkEntry{}
	for _, s := range list {
		s.Member = k.a.o.Config.Name
		entries = append(entries, api.EntryOf(s, filepath.Join(k.dir, s.ID), k.size(s.ID)))
	}
	for _, stamp := range stamps {
		e := api.ForkEntry{ID: k.a.o.Config.Name + "/" + postgres.AsidePrefix + stamp, Kind: api.ForkData, Member: k.a.o.Config.Name,
			Path: k.a.server.Instance.AsideDir(stamp), DiskBytes: k.asideSize(stamp)}
		if at, err := time.Parse(forks.Stamp, stamp); err == nil {
			e.SavedAt = at
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b api.ForkEntry) int { return a.SavedAt.Compare(b.SavedAt) })
	return entries, nil
}

// summary answers `pgherd forks show`.
func (k *keeper) summary(id string) (forks.Summary, error) {
	list, err := forks.List(k.dir)
	if err != nil {
		return forks.Summary{}, err
	}
	for _, s := range list {
		if s.ID == id {
			return s, nil
		}
	}
	return forks.Summary{}, os.ErrNotExist
}
