// Package pki is the cluster's own certificate authority: the CA, the members'
// and clients' certificates, their renewal, TLS configurations that pick renewed
// files up, and one-time join tokens bound to the CA.
//
// Every member keeps the CA's key: each member holds all data and may write the
// store anyway, and so each renews its own certificate without asking anyone.
//
// It must not talk to the network, read a clock to sign (the time is passed in),
// know the store, or log: keys and token secrets never leave it except as return
// values and files of mode 0600.
package pki
