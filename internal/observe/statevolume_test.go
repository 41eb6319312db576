package observe

import (
	"os"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// TestStateVolume: measured apart from whoever looks, and silent where PostgreSQL's volume is the same.
func TestStateVolume(t *testing.T) {
	dir := t.TempDir()
	apart := &StateVolume{Dir: dir}
	for end := time.Now().Add(10 * time.Second); apart.view().Size == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never measured")
		}
	}
	if room := apart.view(); room.Free <= 0 || room.Free > room.Size {
		t.Errorf("%+v", room)
	}
	if room := (&StateVolume{Dir: dir, Beside: []string{os.DevNull + "/none", dir}}).look(); *room != (core.Room{}) {
		t.Errorf("beside the data: %+v", room)
	}
	if room := (&StateVolume{Dir: dir, Beside: []string{"/proc"}}).look(); room.Size == 0 {
		t.Error("on a volume of its own it is not measured")
	}
	if room := (*StateVolume)(nil).view(); room != (core.Room{}) {
		t.Errorf("nobody looks: %+v", room)
	}
}
