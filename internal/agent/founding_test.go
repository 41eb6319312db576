package agent

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pgherd/pgherd/internal/spec"
)

// A first member whose store was lost, or wiped by hand, must wait for the others: founding
// the cluster again would let it lead alone, over data that is live elsewhere.
func TestLostStoreIsNeverFoundedTwice(t *testing.T) {
	dir := t.TempDir()
	a := &Agent{o: Options{Config: spec.Member{StateDir: dir}}, id: Identity{ClusterID: "x", First: true}}
	if a.hasFounded() {
		t.Fatal("founded before anything was done")
	}
	if err := a.founded(); err != nil || !a.hasFounded() {
		t.Fatalf("founded: %v", err)
	}
	v := &voter{stateDir: dir, foundedFile: a.foundedFile()} // no data in its (empty) configuration either
	v.config.Dir = filepath.Join(dir, "store")
	if err := v.begin(t.Context(), true); err != nil || v.running() != nil {
		t.Errorf("the store was begun anew: %v", err)
	}
	if _, err := os.Stat(v.config.Dir); err == nil {
		t.Error("a new store was written")
	}
}
