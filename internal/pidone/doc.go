// Package pidone is the first process of a container: it starts the agent as its child, passes on signals, reaps what is
// left to it by others, and starts the agent again when that was killed, as systemd does on a host: PostgreSQL runs on
// under the warden meanwhile. When the agent ends by itself, the container ends, with its exit code.
//
// It must not know what the agent does, and must not wait for anything but processes: a first process that hangs cannot
// be ended from within.
package pidone
