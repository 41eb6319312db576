// Package pooler is the only place that knows PgBouncer: it finds the program, renders its
// configuration, starts it, adopts it again after its owner's restart, and speaks to its
// admin console (PAUSE, RELOAD, RESUME and what is connected). One PgBouncer serves one port.
//
// It must not decide where clients belong or when they are held (internal/route does), know the
// cluster's records or members, or keep anybody's password: clients' SCRAM secrets are looked up in
// PostgreSQL, PgBouncer itself shows the node's certificate, and the console asks for the OS user.
package pooler
