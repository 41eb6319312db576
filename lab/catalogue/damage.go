package catalogue

// damage: corrupted or diverged data, long recoveries.
var damage = []Entry{
	{Number: 33, Name: "corrupt-page",
		Fault:   "a page of a table on the primary is overwritten on disk",
		Happens: "checksums are on: statements that read it fail, nothing else; the standbys do not have it; no failover",
		Sees:    "the clients' errors, PostgreSQL's log",
		Limit:   "no condition is raised, and such a member may still be cloned from"},
	{Number: 33, Name: "corrupt-wal-on-standby",
		Fault:   "WAL that a standby must replay at its next start is overwritten",
		Happens: "PostgreSQL notices, and streams that range anew",
		Sees:    "PostgreSQL's log"},
	{Number: 34, Name: "long-recovery",
		Fault:   "the primary dies with a quarter of a gigabyte of WAL since its last checkpoint",
		Happens: "a standby, which has replayed it already, leads at once; nobody waits for the recovery",
		Sees:    "event `leader_changed`",
		Limit:   "durability async waits no longer either, but is not measured here"},
	{Number: 35, Name: "fork",
		Fault:   "durability async: the primary, cut off, goes on alone until its deadline; another leads",
		Happens: "healed, the old primary is rewound; what it alone had is lost, as async says, and bounded by the time until the deadline",
		Sees:    "at once event and condition `commits_lost` with how much it may be; then events `rewind`, `fork_saved` and `fork_named` with what it was; `pgherd forks` has the WAL, the transactions and the tables"},
}
