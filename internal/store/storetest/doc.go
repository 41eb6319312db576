// Package storetest is the conformance suite of the store port: what every
// implementation must do, run by the fake too, so that tests against the fake
// mean something.
//
// It must not know any implementation, and it tests nothing that the port does
// not promise (a watch may fire without a change; it may miss one).
package storetest
