package agent

import (
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/test/units"
)

// shutdownRoom is what a clean stop of PostgreSQL gets at least, beyond all limits of the way there and of what follows it.
const shutdownRoom = 20 * time.Second

// TestUnitKeepsTheBudget: `systemctl stop`, or a host that goes down, gives the agent the time in which it hands over or takes
// the handover back, and then stops PostgreSQL cleanly. After TimeoutStopSec it would be killed on the way.
func TestUnitKeepsTheBudget(t *testing.T) {
	u := units.Read(t, "pgherd.service")
	u.EndsByItself(t)
	u.HasNetworkUntilItsEnd(t)
	var op core.Operation
	handover := op.Timeout() + tickLimit                // taken back at the latest, and the tick that does it
	held := op.MaxWait() + core.HoldMax                 // poolers let go by themselves, should nobody tell them
	after := stopGrace + endpointsStopMax + farewellMax // the last word to others, the endpoints' end, the warden's
	need := handover + held + after + shutdownRoom
	if has := u.Duration(t, "Service.TimeoutStopSec"); has < need {
		t.Errorf("TimeoutStopSec is %s; a handover that is taken back needs %s, its poolers %s, the rest %s, PostgreSQL %s: %s", has, handover, held, after, shutdownRoom, need)
	}
	lease := spec.DefaultCluster().Lease
	if pause, trust := u.Duration(t, "Service.RestartSec"), lease.TTL.D()-lease.Margin.D(); 2*pause > trust {
		t.Errorf("RestartSec is %s: a crash of the agent must be over within the lease's trust, %s", pause, trust)
	}
}
