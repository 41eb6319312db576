// Package cluster runs pgherd and PostgreSQL on the hosts of a rig: it founds clusters, starts,
// kills and freezes their processes one by one, and asks pgherd what operators ask it.
//
// It must not judge (that is package history's), write to the database besides setting it
// up, or help pgherd: what an operator would not have to do is not done here.
package cluster
