// Package etcd is the store on an etcd cluster, embedded in the members or
// external: a client that keeps answering while endpoints come and go.
//
// Each endpoint has its own lazy connection, and a call prefers one endpoint.
// When that one refuses, the call goes on to the next at once; when it is
// silent for 300 ms (powered off, cut off), the call is sent to the next as
// well and the first good answer counts. clientv3's balancer was not used for
// this: a call that it has handed to a dead connection stays there until gRPC
// notices, 10 s at best, and a lease lives for 5.
//
// It must not repeat a write when both copies could take effect, must not use
// etcd's leases, users or roles, and does not know what the values mean.
package etcd
