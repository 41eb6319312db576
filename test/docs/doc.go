// Package docs finds in the pages what people will type: the commands of pgherd, and the lines for curl and psql.
//
// It must not know what a command means, nor run one: internal/cli parses them and test/integration runs them. It is a leaf, for
// tests alone.
package docs
