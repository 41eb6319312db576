// Package packages tests what `make dist` makes: the deb, the rpm, and what is beside them.
//
// It must not test what the binary does: that is for all other tests.
package packages
