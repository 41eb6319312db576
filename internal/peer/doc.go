// Package peer is how members talk to each other: each asks the others' status
// once a second, and a join proves that the joining member can be reached.
//
// It must not decide, cache or retry: an answer that did not come is the caller's
// fact to keep, and an old answer must never pass as a new one.
package peer
