package catalogue

// disks: full, hung, failing, dead, slow.
var disks = []Entry{
	{Number: 27, Name: "wal-full",
		Fault:   "the primary's WAL volume fills up",
		Happens: "PostgreSQL ends by itself, the lease is released, a standby leads",
		Sees:    "`start_failed` with PostgreSQL's words until there is space"},
	{Number: 28, Name: "data-full",
		Fault:   "the primary's data volume fills up, WAL has its own",
		Happens: "statements that need space fail, no failover",
		Sees:    "the clients' errors"},
	{Number: 29, Name: "fsync-hang",
		Fault:   "fsync of the primary's PostgreSQL never returns",
		Happens: "no commit is acknowledged, neither meanwhile nor wrongly afterwards",
		Sees:    "clients wait"},
	{Number: 30, Name: "fsync-eio",
		Fault:   "fsync of the primary's PostgreSQL fails",
		Happens: "PostgreSQL panics, the lease is released, a standby leads",
		Sees:    "events `postgres_ended`, `leader_changed`"},
	{Number: 31, Name: "disk-dead",
		Fault:   "the primary's data volume dies",
		Happens: "never a wrong answer",
		Sees:    "clients' errors"},
	{Number: 32, Name: "slow-disk",
		Fault:   "the primary's WAL volume does a few writes a second only",
		Happens: "commits are slow, no failover",
		Sees:    "slow commits"},
}
