// Package store is the cluster's coordination: a small port over a linearizable
// key-value store, kept by the embedded etcd, an external etcd, or memory.
//
// It must not know what the values mean (they are bytes to it), decide anything,
// or use the store's own TTLs: leases are judged by core from revisions and ages.
// storetest is the conformance suite that every implementation passes.
package store
