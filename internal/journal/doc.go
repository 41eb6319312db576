// Package journal keeps what the agent decided and why: an append-only file of
// decisions, and a file of readable events derived from them. `explain`, `events`
// and `replay` read it.
//
// It must not hold up the loop (a full or hanging disk costs entries, never a
// tick), hold secrets, or take part in any decision.
package journal
