// Package metrics says in Prometheus' words what this member knows: gauges that follow purely from the agent's last
// decision (patroni.go has Patroni's names, own.go ours), and meters of how long things took (meters.go). The
// catalogue lists all of them; docs/metrics.md is held against it.
//
// It must not read the store or PostgreSQL, decide anything, or hold up who decides: a gauge is computed when it is asked
// for, from a snapshot that is there already, and a meter takes an observation without a lock.
package metrics
