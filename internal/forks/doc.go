// Package forks keeps the evidence of histories that were given up: WAL that only this member
// had when it was rewound or cloned, one directory each with a summary beside the segments.
//
// It must not read WAL, run a program or decide what is saved or removed: internal/postgres
// fills the directories, core says when one goes.
package forks
