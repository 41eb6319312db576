// Package poolerhost is the process of a host that holds no data and runs the cluster's two endpoints: `pgherd pooler
// run`. It asks the members' API for what the endpoints go by, writes this host's own record there, has its certificate
// renewed, and runs internal/endpoint with all that.
//
// It must not touch the store, decide where clients go (internal/route does), or know the agent: of the cluster it has
// a certificate that opens three routes of the API and one role of PostgreSQL, and nothing else.
package poolerhost
