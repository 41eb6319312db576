// Package mem is the store in memory: for tests and the simulator.
//
// It must not be used by a running member: nothing is shared between processes
// and nothing survives one. Content is shared by the handles of one New.
package mem
