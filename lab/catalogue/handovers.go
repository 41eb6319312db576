package catalogue

// killed is what each of the phases' scenarios does.
const killed = ", each once: the agents of the old primary, the candidate and the third member (started again after 2 s), the postmasters and the wardens of the old primary and of the candidate, the PgBouncers of the old primary and of the third member"

// handovers: the primary moves while clients are behind the endpoints of all members.
var handovers = []Entry{
	{Name: "handover-under-load", CI: true,
		Fault:   "`pgherd switchover` there and back, writers behind the endpoint of each member",
		Happens: "no statement fails; the certificate has the part of everybody, and what the new primary had received is beyond where the old one stopped",
		Sees:    "event `operation`, the certificate"},
	{Name: "handover-long-transaction",
		Fault:   "a transaction is open behind an endpoint: `--max-wait 1s`, without and with `--force`",
		Happens: "the handover is taken back before anything was stopped, and clients go on; with `--force` the transaction is ended and the handover done",
		Sees:    "exit code 1 with the pooler and its client that was in the way"},
	{Name: "handover-killed-in-requested",
		Fault:   "SIGKILL as soon as a handover is requested" + killed,
		Happens: "the handover is done or taken back; one primary, clients are let go, no acknowledged commit is lost",
		Sees:    "event `operation` with its outcome"},
	{Name: "handover-killed-in-holding",
		Fault:   "SIGKILL while poolers hold their clients" + killed,
		Happens: "as above; at the latest a pooler lets go after `--max-wait` and 10 s",
		Sees:    "as above"},
	{Name: "handover-killed-in-stopping",
		Fault:   "SIGKILL while the old primary stops" + killed,
		Happens: "as above; without a clean shutdown the lease is not handed over",
		Sees:    "as above"},
	{Name: "handover-killed-handed-over",
		Fault:   "SIGKILL when the lease names the candidate, which is no primary yet" + killed,
		Happens: "as above; who has the lease is promoted, or loses it to another who has everything",
		Sees:    "as above"},
	{Name: "handover-killed-in-done",
		Fault:   "SIGKILL when the candidate leads and the certificate is open" + killed,
		Happens: "as above; the certificate is closed with what there is",
		Sees:    "as above"},
}
