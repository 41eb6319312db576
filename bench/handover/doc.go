// Command handover measures what clients notice when the primary moves on purpose: pgbench through an endpoint of a
// demo cluster, and in the same run through the same PgBouncer before two servers that no agent
// watches, handed over by a script that does only what cannot be left out. It also measures what the endpoint
// costs, and what clients behind it see when the primary's postmaster is killed.
//
// It must not give the two sides other settings or another load, hide a client's error in a median, or
// leave a process behind. What it compares with is a floor: the script has no store, no election, no third
// member whose receipt commits wait for, and nobody who would take it back half way.
package main
