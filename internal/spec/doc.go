// Package spec holds what the user wants: the member's own file (pgherd.yaml) and
// the cluster's spec, with parsing, defaults, validation and diff.
//
// It must not read the network, a clock or PostgreSQL: it takes bytes and gives
// values or errors with line numbers. Facts belong to observe, decisions to core.
package spec
