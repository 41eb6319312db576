// Package trust holds the rules that stand between a decision and its effect, as pure
// state: what a member may believe of the store (Ledger), whether a step may still run
// (Refuse), and until when PostgreSQL may live (Permit). The agent's observe and act, the
// warden and the simulator run this same code, so that what is proven in the simulator
// is what guards the data.
//
// It must not read a clock, wait, do I/O or decide what to do: times and replies are
// arguments.
package trust
