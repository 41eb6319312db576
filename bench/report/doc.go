// Package report is what a benchmark answers with: figures, each with its target, its spread and a verdict,
// and the machine that they were measured on. It prints them as a table, and they are JSON.
//
// It must not measure anything besides the machine itself.
package report
