// Package lab is pgherd's laboratory: real binaries, real PostgreSQL, named faults. The scenarios are tests with
// the build tag lab; `make lab` runs them and ends with a table, `make lab SCENARIO=NAME` runs one.
//
// It must not be imported by anything. A scenario must not help the cluster in a way that an operator would not, and must not
// weaken what it asks for when pgherd is wrong: it is there to show that.
package lab
