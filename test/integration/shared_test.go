package integration

import "testing"

var kept *cluster

// shared gives a healthy cluster of three that tests use one after the other. After a
// failed test it is a new one, so that one failure stays one failure.
func shared(t *testing.T) *cluster {
	t.Helper()
	if kept != nil && kept.dirty {
		sharedDown()
	}
	if kept == nil {
		kept = makeCluster(t)
		t.Cleanup(func() { kept.diagnose(t) })
		kept.up(3)
	} else {
		kept.t = t
		t.Cleanup(func() { kept.diagnose(t) })
	}
	for _, m := range kept.members {
		if !m.running() {
			m.start()
		}
	}
	kept.waitSync()
	return kept
}

func sharedDown() {
	if kept != nil {
		kept.down()
		kept = nil
	}
}
