// Package demo makes a whole cluster on this machine out of the pgherd binary, as a
// user would: `init`, `token create`, `join` and `run` as processes of their own, real
// PostgreSQL, TLS and etcd. It breaks that cluster on purpose, measures what clients see
// and counts the acknowledged rows. `pgherd demo` and bench/failover are made of it.
//
// It must not reach into a member: everything it knows of one comes from the pgherd
// command, from /proc, or from SQL, so that it proves what a user would get. It decides
// nothing for a member; like systemd it starts an agent again that ended.
package demo
