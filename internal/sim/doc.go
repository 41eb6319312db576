// Package sim runs whole clusters in virtual time: the real core.Decide and the real rules
// of internal/trust, over a model of everything that they touch (PostgreSQL, the store,
// agents, wardens, links, clocks, clients), under faults drawn from one seed. One thread,
// one heap of events: the same seed gives the same run to the last event, on any
// machine. After every event that could break one, internal/invariant is asked.
//
// It must not start a goroutine, read a clock, iterate over a map where order shows, or
// use floating point. The model errs on the side of the enemy: where a real
// part may do one of two things, a die is cast. It must not grow features that no
// decision can see.
package sim
