// Package embed runs the etcd server inside the agent and changes its
// membership: who votes is decided elsewhere, one change at a time.
//
// Clients and peers use mutual TLS under the cluster's CA; the certificate
// files are read again at each handshake, so renewed ones need no restart (a
// changed CA file does).
//
// It must not decide when to grow or shrink, must not read or write records
// (that is package etcd, also for the local server; but for Local, which reads what is left of a
// store that is lost), and must never remove a
// data directory (SetAside renames one).
package embed
