package observe

import (
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/warden"
)

// What is required is this member's file's to say, also while no warden answers; what became of the device only
// the warden knows.
func TestWatchdogView(t *testing.T) {
	active := &warden.WatchdogStatus{State: core.WatchdogActive, Timeout: 3 * time.Second}
	for name, c := range map[string]struct {
		status warden.Status
		mode   spec.WatchdogMode
		want   core.Watchdog
	}{
		"off":       {warden.Status{Alive: true, Watchdog: active}, spec.WatchdogOff, core.Watchdog{}},
		"active":    {warden.Status{Alive: true, Watchdog: active}, spec.WatchdogAutomatic, core.Watchdog{State: core.WatchdogActive, Timeout: 3 * time.Second}},
		"required":  {warden.Status{Alive: true, Watchdog: active}, spec.WatchdogRequired, core.Watchdog{Required: true, State: core.WatchdogActive, Timeout: 3 * time.Second}},
		"no warden": {warden.Status{Watchdog: active}, spec.WatchdogRequired, core.Watchdog{Required: true}},
		"an older warden": {warden.Status{Alive: true}, spec.WatchdogRequired, core.Watchdog{Required: true, State: core.WatchdogUnavailable,
			Text: "the warden that runs is of an older version; it is replaced when pgherd is stopped and started"}},
	} {
		if got := watchdogView(c.status, c.mode); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
