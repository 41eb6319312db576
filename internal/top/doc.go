// Package top draws the cluster for `pgherd top`: what was told of it last, as lines of text for a terminal of some size.
//
// It must not ask anybody, know of terminals beyond their width and height, or keep more than a screen shows.
package top
