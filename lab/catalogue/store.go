package catalogue

// store: what happens to the embedded etcd.
var store = []Entry{
	{Number: 22, Name: "slow-store",
		Fault:   "what members say to the store's ports of others arrives 800 ms late",
		Happens: "no demotion while the renewals arrive within the trust",
		Sees:    "nothing, or slower answers of the command line"},
	{Number: 23, Name: "store-minority-down",
		Fault:   "one of three voters is away",
		Happens: "nothing",
		Sees:    "`member_unreachable`"},
	{Number: 24, Name: "store-majority-down",
		Fault:   "two of three voters are away",
		Happens: "the primary is stopped at its deadline; all wait; with the quorum back it starts by itself",
		Sees:    "`store_unreachable`"},
	{Number: 25, Name: "store-disk-stall",
		Fault:   "the disk with the primary's share of the store hangs",
		Happens: "never two leaders",
		Sees:    "event `leader_changed` if it hangs for longer than the trust"},
	{Number: 26, Name: "store-wiped-one",
		Fault:   "one member's share of the store is gone",
		Happens: "it joins the quorum anew and never founds the cluster twice",
		Sees:    "its log"},
	{Number: 26, Name: "store-wiped-all",
		Fault:   "all shares of the store are gone, the data is there",
		Happens: "nobody elects itself, nothing is initialised, no data directory is touched",
		Sees:    "nobody leads"},
}
