// Package warden is the small separate process that is postgres' parent and its
// fence, and the client by which the agent speaks to it.
//
// The warden knows one instance, one deadline (CLOCK_BOOTTIME) with its term, and one
// action: kill every process of the instance and prove that none is left. It is
// the child-subreaper of everything that postgres ever forks, so "none is left" is
// not a search that may miss something but the kernel's ECHILD. It survives the
// agent's restart; when the warden itself dies, the kernel kills the postmaster
// (Pdeathsig) and the next warden kills what was orphaned before it reports ready.
//
// Its rules:
//   - Start needs an empty instance and an Arm or a Disarm since the warden began or
//     last fenced: a stale agent must not bring a fenced primary back.
//   - When the postmaster ends, for whatever reason, the rest of the instance is
//     killed at once: an orphaned backend was measured to commit 18 s later.
//   - SIGTERM is orderly: it ends an idle warden; otherwise postgres is stopped fast
//     (SIGINT) and the warden ends when the instance is empty. The deadline stays
//     in force meanwhile. Other catchable signals are ignored.
//
// What it kills PostgreSQL for, it takes the virtual address away for, if it was told of one: in its
// own process and without waiting, since the fence does not rest on it.
//
// It must not decide anything: it knows no cluster, no lease, no role, no SQL and none of
// PostgreSQL's files (but for stale locks, see removeStaleLocks). It must not wait for a disk either, in the goroutine that
// fences: logs are written, rotated and opened elsewhere, so that a full or hung
// disk does not hold up a kill.
package warden
