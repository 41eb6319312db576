// Package proc reads from /proc what processes and the machine have used, for the benchmarks.
//
// It must not find processes or judge a figure: it is given a PID, and answers with a number. A
// process that is gone has used 0.
package proc
