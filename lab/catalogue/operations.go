package catalogue

// operations: what clients and operators do.
var operations = []Entry{
	{Number: 38, Name: "client-cancel",
		Fault:   "clients cancel their commits at random, before, during and after the primary is cut off from the others",
		Happens: "PostgreSQL acknowledges a commit whose wait was cancelled with warning 01000, that is: its outcome is unknown, and it may have been read by others. No commit acknowledged without a warning is lost",
		Sees:    "the warning at the client"},
	{Number: 39, Name: "bad-config",
		Fault:   "invalid parameters, and one that only fails at the start (shared_buffers = 900GB)",
		Happens: "the first are refused; the second is tried on a standby, which goes back to its last good ones; the primary is not touched",
		Sees:    "exit code 2 or 3 with the reason; `restart_pending`, then `parameters_rejected`"},
	{Number: 40, Name: "conn-storm",
		Fault:   "2000 clients for 200 connections, and every WAL sender of the primary taken",
		Happens: "the agent still sees and acts: no failover, and a switchover in the middle of it succeeds",
		Sees:    "the clients' errors; `connections_exhausted`"},
	{Name: "planned-switchover", CI: true,
		Fault:   "`pgherd switchover` under load, there and back",
		Happens: "checkpoint, fast stop, proof by the control file, hand-over, promotion; no acknowledged commit is lost",
		Sees:    "event `operation`, exit code 0"},
	{Name: "vip-follows-primary",
		Fault:   "a client that knows `vip.address` only: a switchover, the power of the primary's host, and SIGSTOP to the primary's agent",
		Happens: "the address is borne and announced by the member that accepts writes; it goes when PostgreSQL is killed at the deadline, though the agent is frozen, and a host that comes back with it puts it away",
		Sees:    "nothing besides what each fault shows; `vip_failed` where the address could not be put up or taken away"},
}
