package client

// peeked is what waits on a connection that nobody uses.
type peeked int

const (
	peekNothing peeked = iota // as it should be
	peekData                  // the server said something that nobody asked for
	peekClosed
)
