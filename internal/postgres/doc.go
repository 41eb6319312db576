// Package postgres is the only place that knows PostgreSQL's binaries, files,
// signals and SQL (PostgreSQL 14 to 18): it finds the programs, makes a data
// directory (initdb, base backup, rewind), reads its control file, history and
// WAL, renders its configuration, and asks a running server for facts.
//
// It must not start, own or stop the postmaster (the warden does; StartArgs gives
// it the argv), decide anything (core does), know the store or the other members'
// state, switch credentials (the whole agent runs as the OS user that owns
// PostgreSQL), or put a secret into argv, the environment or a log: members show
// certificates, the superuser shows its OS user, and no password exists.
package postgres
