package poolerhost

import (
	"testing"

	"github.com/pgherd/pgherd/test/units"
)

// TestUnitKeepsTheBudget: what stops a host that only pools leaves it the time to take its record back and end its endpoints,
// while it can reach the members. A record that stays would hold up handovers until it counts as silent.
func TestUnitKeepsTheBudget(t *testing.T) {
	u := units.Read(t, "pgherd-pooler.service")
	u.EndsByItself(t)
	u.HasNetworkUntilItsEnd(t)
	if has, need := u.Duration(t, "Service.TimeoutStopSec"), 2*(stopMax+askMax); has < need {
		t.Errorf("TimeoutStopSec is %s, want at least %s", has, need)
	}
}
