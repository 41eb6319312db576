// Package core decides. Decide takes everything that is known (View) and what the
// member remembers (Memory) and gives what to do now (Plan), what to remember, and
// a Report with a reason for everything done and not done.
//
// It must not touch the world: no net, os, context, sync, log, clock, randomness,
// database or store. Time comes in as View.Now. The same input gives the same
// output, and a lost Memory may delay an action but never permit one.
package core
