// Package api is a member's HTTP interface: HTTPS for other members and for joins,
// a unix socket for the commands on this machine, and the client for both.
//
// It must not decide or act: a mutation is checked and written to the store as an
// intent, and the loop does the rest. It must not answer anybody without a role (see
// roles.go), except for a join, which has its token, a load balancer's question, and the dashboard's files, which hold no data.
package api
