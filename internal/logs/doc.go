// Package logs is the agent's stream on stdout: records as text or JSON, a level that can be changed while it runs, and what
// this member's PostgreSQL writes into its own log, line by line.
//
// It must not decide what is worth a line, change PostgreSQL's file, or hold anybody up who logs.
package logs
