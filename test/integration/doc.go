// Package integration shows what pgherd promises with real parts: the built binary, real
// PostgreSQL, real processes, on loopback. Its tests break clusters as the world does
// (SIGKILL, SIGSTOP, lost directories, full disks) and look only at what a user can
// see: `pgherd status --json`, `events`, exit codes, SQL and the process table.
//
// It must not import the packages that decide or act, nor wait for time where it can
// wait for a condition.
package integration
