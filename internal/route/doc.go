// Package route decides where the two endpoints of one host send their clients, and when clients are
// held: Decide takes what is known (View) and what is remembered (Memory), and gives what the two
// poolers are to do now (Plan) with a reason for each of them.
//
// It must not read a clock, wait, do I/O or start anything: it is pure like core, so that every rule of
// it is tested from data alone. It must not know PgBouncer, PostgreSQL or the store either; it imports
// core and spec for their words.
//
// Three rules are kept whatever happens. The read-write endpoint sends only to the newest holder of the
// lease that is known, seen to accept writes, or stays where it was. Clients that an operation holds are
// let go after a time by this host's own clock, whatever is heard. And what is not done has a text.
package route
