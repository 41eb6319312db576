package catalogue

// operations: what clients and operators do.
var operations = []Entry{
	{Number: 38, Name: "client-cancel",
		Fault:   "clients cancel commits that wait, at random, while the primary is cut off",
		Happens: "such a commit is acknowledged with a warning, that is: of unknown outcome; no commit acknowledged without one is lost",
		Sees:    "the warning at the client"},
	{Number: 39, Name: "bad-config",
		Fault:   "an invalid parameter, and one that only fails at the start (huge shared_buffers)",
		Happens: "the first is refused; the second is tried on a standby, which goes back to its last good ones; the primary is not touched",
		Sees:    "exit code 3 with the reason; `parameters_rejected`"},
	{Number: 40, Name: "conn-storm",
		Fault:   "ten times max_connections clients, all WAL senders taken",
		Happens: "the agent keeps seeing and acting, no failover",
		Sees:    "the clients' errors"},
	{Name: "planned-switchover",
		Fault:   "`pgherd switchover` under load, there and back",
		Happens: "checkpoint, fast stop, proof by the control file, hand-over, promotion; no acknowledged commit is lost",
		Sees:    "event `operation`, exit code 0"},
}
