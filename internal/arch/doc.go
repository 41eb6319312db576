// Package arch holds tests of the whole repository: its layers, its sizes, its words.
//
// It must not hold code that anything else uses: it is a wall, not a room.
package arch
