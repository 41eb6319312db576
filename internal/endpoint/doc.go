// Package endpoint runs the two endpoints of one host: it reads the cluster's state, looks at the members by
// sessions of its own, has internal/route decide, carries that out by the two poolers, and writes this
// host's record into the store. The agent runs it on members; a host that only pools can, too.
//
// It must not decide where clients go or when they are held: that is route's, and this package's loop never
// waits for anything but a change. It must not know PgBouncer (pooler does), SQL (postgres does) or
// the agent.
//
// Each of its goroutines owns one thing that may be slow: reading the store, one member's session, one
// pooler, writing the record. So a store or a member that hangs delays nobody else, and least of all the
// moment at which clients are let go.
package endpoint
