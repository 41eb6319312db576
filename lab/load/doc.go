//go:build lab

// Package load is the clients of a laboratory: writers that find the primary by themselves,
// readers, and a prober for each member that writes there whatever the member says of itself.
// All that they were told becomes a history.
//
// It must not know how the cluster is made, ask pgherd anything, or judge what it saw: it needs
// addresses and credentials, and lab/history judges. It must not cancel a statement either
// (a cancelled wait for standbys is acknowledged): a client that gives up keeps listening.
package load
