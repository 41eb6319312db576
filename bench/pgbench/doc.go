// Package pgbench runs PostgreSQL's pgbench against a demo cluster and reads what it says, for
// the benchmarks of throughput and of calm.
//
// It must not know what is compared, judge a figure, or speak to a server otherwise than by
// PostgreSQL's own programs.
package pgbench
