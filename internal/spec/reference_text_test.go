package spec

// says is what docs/configuration.md says of one key. It stands here and not in the page, so that no key can be
// without it; and not in the types' comments, which are for who reads the code.
type says struct {
	text  string // Markdown, one cell of a table
	unset string // what counts where nothing is written and there is no default to show
}

var memberSays = map[string]says{
	"name":                {text: "the member"},
	"address":             {text: "by it the others reach this member"},
	"state_dir":           {text: "keys, embedded store, journal, sockets; its owner is who pgherd and PostgreSQL run as. `init` and `join` write `/var/lib/pgherd` where `--state-dir` says nothing else"},
	"witness":             {text: "votes, runs no PostgreSQL: it takes no `postgres`, `watchdog`, `vip` and `hooks_dir`, and wants the embedded store"},
	"listen.api":          {text: "HTTPS: the API and the dashboard, joins, what members ask each other"},
	"listen.peer":         {text: "raft, between the embedded stores"},
	"listen.store":        {text: "the embedded store's clients, by mutual TLS"},
	"listen.rw":           {text: "the [endpoint](endpoints.md) for applications that leads wherever the primary is. With `listen.ro`, or neither of them: no endpoints on this member. `init` and `join` write ports 6432 and 6433 where PgBouncer is found"},
	"listen.ro":           {text: "the endpoint that leads to the standbys"},
	"postgres.bin_dir":    {text: "PostgreSQL's programs", unset: "the newest found"},
	"postgres.data_dir":   {text: "must not itself be a mount point; a directory on it"},
	"postgres.wal_dir":    {text: "a directory of its own for WAL", unset: "inside the data directory"},
	"postgres.socket_dir": {text: "where its unix socket is"},
	"postgres.port":       {text: "where PostgreSQL listens"},
	"postgres.listen":     {text: "PostgreSQL's `listen_addresses`, with commas; `*` is all"},
	"postgres.parameters": {text: "this member's own; the only place for parameters that run commands (`archive_command`, …). Their values are in no journal and not in the agent's log, but PostgreSQL runs them by a shell, where `ps` shows them: name a file with the key, or at least `chmod 640` this one, which is made readable for all"},
	"pooler.bin":          {text: "PgBouncer's program, which serves the endpoints", unset: "the one found"},
	"store.endpoints":     {text: "an etcd of your own instead of the embedded store; without it the section is empty", unset: "the embedded one"},
	"store.prefix":        {text: "what pgherd's keys in it begin with"},
	"store.ca_file":       {text: "who signed the etcd's certificate", unset: "whom the system trusts"},
	"store.cert_file":     {text: "pgherd's certificate for the etcd; with `store.key_file`, or neither of them"},
	"store.key_file":      {text: "its key"},
	"tags.zone":           {text: "failure domain: commits are kept in other zones than the primary's where enough standbys stream there"},
	"tags.priority":       {text: "among equal candidates the higher becomes primary"},
	"tags.no_failover":    {text: "never primary"},
	"tags.no_sync":        {text: "never counted for commits"},
	"watchdog.mode":       {text: "whether a hardware watchdog stands behind the warden, [see below](#the-watchdog)"},
	"watchdog.device":     {text: "the watchdog, or any path that takes its bytes"},
	"watchdog.timeout":    {text: "not fed for so long, it resets the machine", unset: "the longest that the lease bears"},
	"vip.interface":       {text: "bears the cluster's `vip.address` while this member is primary ([more](vip.md))"},
	"log.level":           {text: "what the agent writes to stdout; [`pgherd log-level`](operations.md#logs) changes it while it runs"},
	"log.format":          {text: "how it writes it"},
	"log.postgres":        {text: "`stream`: PostgreSQL's lines too; `file`: they are only in STATE_DIR/postgres.log"},
	"hooks_dir":           {text: "programs that are told of this member's role ([more](vip.md#hooks-for-what-pgherd-has-no-driver-for))"},
}

var poolerHostSays = map[string]says{
	"name":         {text: "the host, as a member's, and no member's"},
	"address":      {text: "by it clients reach this host"},
	"state_dir":    {text: "keys, PgBouncer's files. `pgherd pooler join` writes `/var/lib/pgherd` where `--state-dir` says nothing else"},
	"listen.rw":    {text: "the endpoint that leads wherever the primary is"},
	"listen.ro":    {text: "the endpoint that leads to the standbys"},
	"pooler.bin":   memberSays["pooler.bin"],
	"log.level":    {text: "what is written to stdout"},
	"log.format":   memberSays["log.format"],
	"log.postgres": {text: "of no account here: there is no PostgreSQL"},
}

var clusterSays = map[string]says{
	"lease.ttl":                 {text: "how long a silent primary stays primary; a shorter one counts from the next change of leadership on"},
	"lease.renew":               {text: "how often it renews; less than ttl − margin"},
	"lease.margin":              {text: "how much earlier it stops itself"},
	"durability":                {text: "`sync`: an acknowledged commit survives the loss of any one member; `async`: what was not streamed may be lost"},
	"sync_standbys":             {text: "how many standbys confirm each commit"},
	"strict":                    {text: "block commits rather than go on with fewer standbys; `sync_stalled` says for whom they wait. With durability sync only"},
	"max_lag_bytes":             {text: "async: a standby that lacks more of what the primary has published does not become primary"},
	"crash_recovery_max":        {text: "how long a primary may take to come up again in place while another member could lead; async: a crash whose recovery is estimated to take longer is handed over, up to `max_lag_bytes` lost"},
	"forks.keep":                {text: "how long saved WAL is kept that the cluster's history does not have ([more](#pgherd-forks))"},
	"forks.max_bytes":           {text: "how much of it each member keeps; the oldest goes first, the newest always stays"},
	"forks.aside":               {text: "how many data directories that clones set aside each member keeps"},
	"forks.discard":             {text: "replace diverged WAL without saving it"},
	"health.write_timeout":      {text: "a primary on which no commit has succeeded for so long, and no flush of anybody, is fenced if a standby can take over. Each change of leadership that nobody asked for doubles it (10 min at most), until a holder has led well for 10 min"},
	"health.failover":           {text: "false: say so (`write_hangs`, `disk_failed`, `postgres_not_answering`) and leave the primary"},
	"pooler.off":                {text: "no endpoints anywhere"},
	"pooler.mode":               {text: "`transaction`: a server connection goes back after each transaction; `session`: when the client leaves, and a planned handover waits for that"},
	"pooler.pool_size":          {text: "server connections of each endpoint for each database and user"},
	"pooler.max_clients":        {text: "clients of each endpoint"},
	"pooler.max_servers":        {text: "server connections of each endpoint for each database; 0: no limit but `pool_size`"},
	"pooler.query_wait":         {text: "a statement that waits longer for a server fails; so long clients wait when there is no primary, too"},
	"pooler.read_lag_max_bytes": {text: "a standby that has more than this left to replay gets no readers; at half of it, it gets them again"},
	"pooler.read_from_primary":  {text: "the read-only endpoint sends to the primary, too"},
	"vip.address":               {text: "a virtual address, borne by the primary ([more](vip.md))"},
	"postgres.parameters":       {text: "PostgreSQL parameters, equal on all members. One is changed by `pgherd config set postgres.parameters.NAME=VALUE`; in `pgherd config edit` the section is taken whole"},
	"postgres.hba":              {text: "who may connect, over TLS only; the first rule that matches counts. A list that is written is taken whole"},
	"postgres.hba[].databases":  {text: "names, or `all`, `sameuser`, `samerole`"},
	"postgres.hba[].users":      {text: "names, `+group`, or `all`; not the administrator and pgherd's own roles"},
	"postgres.hba[].from":       {text: "where clients come from"},
	"postgres.hba[].auth":       {text: "how they show who they are"},
}
