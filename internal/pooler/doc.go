// Package pooler is the only place that knows PgBouncer: it finds the program, renders its
// configuration, starts it, adopts it again after its owner's restart, and speaks to its
// admin console (PAUSE, RELOAD, RESUME and what is connected). One PgBouncer serves one port, for any
// database but one of the name "pgbouncer", which is its console.
//
// What PgBouncer cannot do, and who uses this package must know: while its last login to a server
// has failed and none is open, it drops each client that has something new to say (who already
// waits is let be), so that clients should be held the moment a primary is seen dead; and a list
// of hosts has one port, so that targets of another port than most are left out.
//
// It must not decide where clients belong or when they are held (internal/route does), know the
// cluster's records or members, or keep anybody's password: clients' SCRAM secrets are looked up in
// PostgreSQL, PgBouncer itself shows the node's certificate, and the console asks for the OS user.
package pooler
