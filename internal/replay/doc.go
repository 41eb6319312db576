// Package replay makes the decisions of a journal again, with the core of this binary, and
// asks the invariants of what was recorded and of what is decided now: a bug report from
// production becomes a test.
//
// It must not open files, read a clock or reach anything but the readers it is given, and
// it must not judge which of two different plans is the better: a newer version may
// rightly decide otherwise.
package replay
