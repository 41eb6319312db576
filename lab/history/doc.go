// Package history holds what clients of a cluster saw, and the checkers that judge it:
// rows lost, duplicated, unasked for or dirty (N1, N2), two members that acknowledge at
// once (N3), reads that go backwards (N4), the outage (N5) and the number of changes of
// leadership (N8). Registers and leases are judged by porcupine.
//
// It must not touch the world: no clock, no network, no file, no testing. Arguments in,
// report out, so that the laboratory and the simulator can share it, and so that each
// checker is itself tested with histories that are wrong.
package history
