package metrics

import (
	"slices"
	"strings"
	"testing"
)

// patronisFamilies are what do_GET_metrics in Patroni's patroni/api.py answers (read at its commit 005b7e7d): name and type, all
// with the labels scope and name.
const patronisFamilies = `
patroni_version gauge
patroni_postgres_running gauge
patroni_postmaster_start_time gauge
patroni_primary gauge
patroni_xlog_location counter
patroni_standby_leader gauge
patroni_replica gauge
patroni_sync_standby gauge
patroni_quorum_standby gauge
patroni_xlog_received_location counter
patroni_xlog_replayed_location counter
patroni_xlog_replayed_timestamp gauge
patroni_xlog_paused gauge
patroni_postgres_streaming gauge
patroni_postgres_in_archive_recovery gauge
patroni_postgres_server_version gauge
patroni_cluster_unlocked gauge
patroni_failsafe_mode_is_active gauge
patroni_postgres_timeline counter
patroni_dcs_last_seen gauge
patroni_pending_restart gauge
patroni_is_paused gauge
patroni_postgres_state gauge
`

func TestPatronisNames(t *testing.T) {
	var want, got []string
	for line := range strings.Lines(strings.TrimSpace(patronisFamilies)) {
		want = append(want, strings.TrimSpace(line))
	}
	for _, f := range gather(t, standby()) {
		if strings.HasPrefix(f.GetName(), "patroni_") {
			got = append(got, f.GetName()+" "+strings.ToLower(f.GetType().String()))
			for _, m := range f.GetMetric() {
				if labels := labelsOf(m); labels != "name=n2 scope=main" {
					t.Errorf("%s has the labels %s", f.GetName(), labels)
				}
			}
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPadded(t *testing.T) {
	for version, want := range map[string]float64{"1.2.3": 10203, "v0.12.0": 1200, "v1.0.0-3-gabc": 10000, "dev": 0, "1.2": 0, "1.x.3": 0, "": 0, "1.200.1": 0} {
		if got := padded(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
