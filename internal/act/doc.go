// Package act carries out a plan's steps, one file per step. Each step is idempotent,
// checks its guard right before the effect, and names what it does in its error. The
// first step that fails ends the run. Long work is a Job, seen by later ticks.
//
// It must not choose: a step says everything. If something is left to decide here, it
// belongs in core.
package act
