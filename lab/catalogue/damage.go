package catalogue

// damage: corrupted or diverged data, long recoveries.
var damage = []Entry{
	{Number: 33, Name: "corrupt-page",
		Fault:   "a page of a table on the primary is overwritten on disk",
		Happens: "statements that read it fail, nothing else: no failover, for a standby need not be better",
		Sees:    "the clients' errors"},
	{Number: 33, Name: "corrupt-wal-on-standby",
		Fault:   "a WAL segment that a stopped standby has yet to replay is overwritten",
		Happens: "it streams that range anew",
		Sees:    "PostgreSQL's log"},
	{Number: 34, Name: "long-recovery",
		Fault:   "the primary dies with much WAL since its last checkpoint",
		Happens: "a caught-up standby leads at once; nobody waits for the recovery",
		Sees:    "event `leader_changed`"},
	{Number: 35, Name: "fork",
		Fault:   "durability async: the primary, cut off, writes on until its deadline; another leads",
		Happens: "healed, it is rewound, with both positions in the reason",
		Sees:    "event `rewind`"},
}
