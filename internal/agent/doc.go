// Package agent is the loop of one member: view, decide, journal, act; and the
// member's identity on disk.
//
// It must not decide (core does), read PostgreSQL or the store itself (observe
// does) or change anything itself (act does).
package agent
