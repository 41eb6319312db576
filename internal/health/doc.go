// Package health answers the questions that load balancers ask of a member: may I send writes here, reads, reads of no
// more than so much lag? Paths, queries and answers are those of Patroni's REST API, which the field's configurations
// (HAProxy, keepalived, cloud load balancers, vip-manager) already ask.
//
// It must not know HTTP's connections, the store or PostgreSQL: an answer follows from Facts alone. Where Patroni's answer
// is "holds the lock", the one here is "accepts writes": a member in the middle of its promotion is no primary yet.
package health
