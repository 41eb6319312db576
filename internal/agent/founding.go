package agent

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// found writes the cluster's first records, once: what exists already stays. It
// tries until the store answers.
func (a *Agent) found(ctx context.Context) error {
	wanted, err := a.foundingSpec()
	if err != nil {
		return err
	}
	type founding struct {
		key    string
		record any
	}
	var first []founding
	if a.major != 0 {
		first = append(first, founding{api.KeyPGMajor, a.major}) // joins are checked against it
	}
	first = append(first, []founding{
		{records.KeySpec, wanted},
		{records.MemberPrefix + a.id.Member, a.ownRecord()},
		// Last, for it says that the cluster exists.
		{records.KeyCluster, core.ClusterRecord{ID: a.id.ClusterID, Name: a.id.Cluster, BootstrapBy: a.id.Member, CreatedAt: a.id.Created}},
	}...)
	for ctx.Err() == nil {
		snapshot, err := a.snapshot(ctx)
		if err == nil {
			if _, ok := snapshot.Entries[records.KeyCluster]; ok {
				return a.founded()
			}
			for _, f := range first {
				if err = a.putOnce(ctx, f.key, f.record); err != nil {
					break
				}
			}
		}
		if err == nil {
			a.poke()
			return a.founded()
		}
		a.o.Log.Warn("the store does not take the cluster's first records yet", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

// foundedName: see foundedFile.
const foundedName = "founded"

func (a *Agent) founded() error {
	return WriteFile(a.foundedFile(), []byte(a.id.ClusterID+"\n"), 0o600)
}

func (a *Agent) hasFounded() bool {
	_, err := os.Stat(a.foundedFile())
	return err == nil
}

func (a *Agent) putOnce(ctx context.Context, key string, record any) error {
	return a.putOnceInto(ctx, a.store, key, record)
}

func (a *Agent) putOnceInto(ctx context.Context, s store.Store, key string, record any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := records.Put(ctx, s, key, record, 0)
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

func (a *Agent) snapshot(ctx context.Context) (store.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return a.store.Snapshot(ctx)
}

func (a *Agent) foundingSpec() (spec.Cluster, error) {
	if a.id.Spec == "" {
		return spec.DefaultCluster(), nil
	}
	return spec.ParseCluster([]byte(a.id.Spec))
}

func (a *Agent) ownRecord() core.MemberRecord {
	for _, m := range a.id.Seeds {
		if m.Name == a.id.Member {
			return m
		}
	}
	return RecordOf(a.o.Config, a.id.Ordinal)
}
