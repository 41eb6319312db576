// Package versions shows that pgherd runs a cluster of three with one major version of
// PostgreSQL: streaming, failover under load, switchover, rewind, clone, and the refusal
// of a member with another major. scripts/versions.sh runs it once for each version, in a
// root that holds them all; the build tag keeps it out of `go test ./...`.
//
// It must not look for PostgreSQL by itself: what it proves is about the one it is given.
package versions
