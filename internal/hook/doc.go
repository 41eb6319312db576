// Package hook calls programs of the administrator's when this member's role changes: for
// load balancers, DNS, cloud addresses and whatever else pgherd has no driver for.
//
// Every executable file of one directory is called as
//
//	PROGRAM EVENT CLUSTER MEMBER TERM
//
// one after the other in the order of their names, without a shell, with an environment of
// PATH and LC_ALL only and no input. Each has 10 s; then it is killed with its process group, as is
// whatever of its group is left at its end. What it prints goes into pgherd's log, up to 8 KiB.
// When a newer event comes, the programs that the older one has not reached are called with the
// newer one only. An event may come twice: the agent tells it again when it starts.
//
// It must not hold anybody up (Tell returns at once), must not run what others than root or
// pgherd's user can write, and must not decide what an event is. A program that fails
// changes nothing for the cluster: it is told, and that is all.
package hook
