// Package invariant says what must always hold: I1 to I14, once, in code that the
// simulator checks after every event, `pgherd replay` and the lab check on journals, and
// the running agent checks on each of its own ticks (read-only: it raises a condition).
//
// It must not decide, change or repair anything, read a clock or do I/O: facts in,
// violations out. What holds here is never loosened to make a test pass.
package invariant
