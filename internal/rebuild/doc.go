// Package rebuild judges what a lost store can be rebuilt from: given what each member
// says that it has, whether an old quorum could still answer somewhere, whether an
// acknowledged commit can be missing, who may lead, and what the first records of the
// new store are.
//
// It must not ask, write, wait or read a clock: answers are arguments, and the agent
// carries the verdict out.
package rebuild
