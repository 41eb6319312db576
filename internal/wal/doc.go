// Package wal holds the leaf types of PostgreSQL's write-ahead log: an LSN, a
// timeline, a timeline history and a Position with its order.
//
// It must not read files, talk to a server or know what a cluster is: only
// arithmetic and text forms live here, so that every package may import it.
package wal
