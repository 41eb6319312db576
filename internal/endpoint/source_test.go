package endpoint_test

import (
	"context"
	"testing"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/endpoint"
	"github.com/pgherd/pgherd/internal/endpoint/sourcetest"
	"github.com/pgherd/pgherd/internal/store/mem"
	"github.com/pgherd/pgherd/internal/store/records"
)

func TestStoreSource(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Cluster {
		s := mem.New()
		put := func(key string, record any) {
			t.Helper()
			now, err := s.Snapshot(context.Background())
			if err == nil {
				_, err = records.Put(context.Background(), s, key, record, now.Entries[key].Revision)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		put(records.MemberPrefix+"n1", core.MemberRecord{Name: "n1", Ordinal: 1})
		return sourcetest.Cluster{Source: endpoint.StoreSource{Store: s, Self: "n1"}, Name: "n1", Put: put}
	})
}
