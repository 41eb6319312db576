// Package api is a member's HTTP interface: HTTPS for other members and for joins,
// a unix socket for the commands on this machine, and the client for both.
//
// It must not decide or act: a mutation is checked and written to the store as an
// intent, and the loop does the rest. It must not answer anybody but members of the
// cluster and local administrators, except for a join, which has its token.
package api
