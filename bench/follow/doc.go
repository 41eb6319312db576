// Command follow measures how long all poolers of a large cluster take to follow the primary: ten members,
// a thousand idle clients on their read-write endpoints, and switchovers. For each endpoint one client asks again and
// again which server answers it.
//
// It must not ask the poolers or the agents: what counts is where a client's statement ends up.
package main
