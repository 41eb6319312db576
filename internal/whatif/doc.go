// Package whatif says what would happen now if a member, its PostgreSQL, a link or the store failed: who would take over or why
// nobody, for how long writes stop, and what may be lost. The decisions are those of core, made on the newest facts
// with the fault put into them; only what lies between two decisions (who hears whom, when a lease runs out) is worked out here.
//
// It must not touch anything: no store, no network, no clock. It must not decide anything by itself that core decides.
package whatif
