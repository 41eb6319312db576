// Package observe builds core's View: the store, the own server, the other members,
// read in parallel, each with its deadline. An error is a fact with an age, never a
// zero value, and an older reply never overwrites newer knowledge.
//
// It must not decide, write to the store, or change anything anywhere, but for the small
// writes of its own by which it sees whether writes work (health.go). A read that
// is late does not hold up the tick: its answer counts when it comes.
package observe
