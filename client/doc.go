// Package client gives a Go program a connection pool that follows the primary of a pgherd cluster.
//
// Open returns at once, whether or not the database exists yet. A [pgxpool.Pool] is made when a member proves to
// accept writes; when the primary moves, another one takes its place, and the program goes on without a restart.
// Acquire and the methods that look like pgxpool's wait meanwhile, up to their context's end.
//
// A statement that was sent is never tried again. If its connection breaks, the program gets the error, and
// must find out itself whether the statement took effect. What was not sent (connecting, and waiting
// for a connection) is tried again without a word.
//
// All that it needs is a connection string with the members' addresses, as `pgherd dsn --format pgx` prints it.
// It keeps one session of its own open to the primary; while there is none, one to each member. The role needs no
// privileges. Behind a pooler it is of no use: a pooler follows the primary itself, and a plain pgxpool does.
//
// The package must not decide who leads, import anything else of this module, or keep a secret beyond the
// parsed connection string. Its exported names follow semantic versioning: they are added to, not changed.
package client
