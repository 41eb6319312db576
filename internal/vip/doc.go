// Package vip puts a virtual address on a network interface of this machine and takes it
// away again, and tells the neighbours where it is now.
//
// Its interface is Driver: Has, Up and Down, each idempotent and safe to repeat at any
// time, so that whoever uses it compares what should be with what is and needs no memory
// of its own. Kernel is the driver for Linux (netlink and packet sockets). It needs
// CAP_NET_ADMIN for the address and CAP_NET_RAW for the announcement.
//
// It must not decide who bears the address or for how long (the agent does, and the
// warden at the fence), must not touch any other address than the one that it is given,
// and must not know PostgreSQL or the cluster. The address protects nothing: an address
// that is left on a fenced member leads to a closed port.
package vip
