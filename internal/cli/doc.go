// Package cli is the command line, one file per command. Answers go to stdout,
// everything else to stderr; errors are "error: …" and "hint: …" lines.
//
// It must not know how the cluster works: commands talk to the local agent's API
// and print what it answers. Only init and join write files, because no agent runs yet.
package cli
