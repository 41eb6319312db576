// Package rig makes hosts for the lab: network namespaces joined by a bridge whose traffic can
// be cut, file systems of their own that can be frozen, slowed and killed, and control groups by
// which everything of a host is frozen or ended at once. All names carry the process ID of the
// test that made them, so that several labs run side by side and the leftovers of one that was
// killed are recognised and removed by the next.
//
// It must not know pgherd or PostgreSQL, send traffic anywhere but into its own namespaces,
// or touch a process that it did not start.
package rig
