package integration

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/api"
)

// docsTyped is in an order that a person could type it in: looking, settings, moves, breaks, coming and going.
var docsTyped = slices.Concat(docsLooks, docsLetsIn, docsSets, docsMoves, docsBreaks, docsComesAndGoes)

// docsLooks changes nothing.
var docsLooks = []typed{
	{command: "pgherd status", says: "n1"},
	{command: "pgherd status --json", says: `"members"`},
	{command: "pgherd members", says: "n3"},
	{command: "pgherd version"},
	{command: "pgherd version --json", says: `"commit"`},
	{command: "pgherd events", says: "n1"},
	{command: "pgherd events --limit 100", says: "n1"},
	{command: "pgherd events --json --limit 2000", says: "{"},
	{command: "pgherd explain", says: "n1"},
	{command: "pgherd explain n2", says: "n2"},
	{command: "pgherd explain n3", says: "n3"},
	{command: "pgherd explain --if each", says: "LEADS THEN"},
	{command: "pgherd explain --if n1=down", says: "if n1=down"},
	{command: "pgherd explain --if n2=down", says: "if n2=down"},
	{command: "pgherd explain --if n1=postgres,n3=down", says: "if n1=postgres,n3=down"},
	{command: "pgherd explain --if n1-n2=cut", says: "if n1-n2=cut"},
	{command: "pgherd explain --if store=down", says: "if store=down"},
	{command: "pgherd config show", says: "durability"},
	{command: "pgherd forks"},
	{command: "pgherd forks --json", says: `"forks"`},
	{command: "pgherd forks [MEMBER]", as: "pgherd forks n1"},
	{command: "pgherd dsn", says: "read-write"},
	{command: "pgherd dsn --read-only", says: "standby"},
	{command: "pgherd dsn --endpoints"},
	{command: "pgherd dsn --user app --database app", says: "app@"},
	{command: "pgherd dsn --user app --database app --endpoints", says: "app@"},
	{command: "pgherd dsn --user app --database app --sslrootcert /etc/ssl/pgherd-ca.crt", says: "ca.crt"},
	{command: "pgherd dsn --format uri|jdbc|pgx|service", as: "for f in uri jdbc pgx service; do pgherd dsn --format $f || exit; done", says: "jdbc:postgresql:"},
	{command: "pgherd wait --for writable --timeout 1m", says: "n1 accepts writes"},
	{command: "pgherd wait --for writable --timeout 2m", says: "n1 accepts writes"},
	{command: "pgherd wait --for healthy --timeout 5m"},
	{command: "pgherd replay journal.jsonl*", as: "cd /var/lib/pgherd/journal && pgherd replay journal.jsonl*", says: "decisions"},
	{command: "pgherd replay FILE", as: "pgherd replay /var/lib/pgherd/journal/journal.jsonl", says: "decisions"},
	{command: "pgherd log-level", says: "info"},
	{command: "pgherd log-level debug", says: "debug"},
	{command: "pgherd log-level info", says: "info"},
	{command: "pgherd recover", code: 3, says: "the store answers"}, // it is not lost
	{command: "pgherd wait --for writable --timeout 2m && psql -f schema.sql", says: "CREATE TABLE"},
	{command: "curl -fsS --unix-socket /var/lib/pgherd/api.sock http://pgherd/v1/status", says: `"members"`},
	{command: "pgherd outcome 3f9c0a51d2e4", says: ": done",
		as: `pgherd log-level info && pgherd outcome $(pgherd events --local --json | sed -n 's/.*"operation": "\([0-9a-f]*\)".*/\1/p' | tail -1)`},
	{command: "curl -s --unix-socket /var/lib/pgherd/api.sock http://pgherd/metrics", says: "pgherd_primary"},
	{command: "curl -sk -o /dev/null -w '%{http_code}\\n' 'https://10.0.0.1:7432/replica?lag=1MB'", says: "503"}, // n1 leads
	// It goes on until it is ended, here after the first event.
	{command: "curl -sN --unix-socket /var/lib/pgherd/api.sock http://pgherd/v1/watch", says: "event: snapshot",
		as: "exec 3< <(exec curl -sN --max-time 60 --unix-socket /var/lib/pgherd/api.sock http://pgherd/v1/watch); sed '/^event: snapshot/q' <&3 && kill $!"},
}

// docsLetsIn gives certificates and tokens, and takes them back.
var docsLetsIn = []typed{
	{command: "pgherd access create maria --role operator --lifetime 12h", as: "pgherd access create maria --role operator --lifetime 12h > token", says: "maria is operator"},
	{command: `curl -fsS --cacert /var/lib/pgherd/pki/ca.crt -H "Authorization: Bearer $(cat token)" https://10.0.0.1:7432/v1/status`, says: `"members"`},
	{command: "pgherd access create NAME --role viewer", as: "pgherd access create ann --role viewer", says: "ann is viewer"},
	{command: "pgherd access create maria --role viewer", says: "maria is viewer"},
	{command: "pgherd access list", says: "ann"},
	{command: "pgherd access revoke ID", as: "pgherd access revoke TOKEN", before: (*docsRun).knowsToken, after: func(d *docsRun) {
		d.c.wait(10*time.Second, "the token to be gone", func() bool {
			a := d.n1.try("access", "list", "--json")
			return a.code == 0 && !strings.Contains(a.stdout, strconv.Quote(d.stands["TOKEN"]))
		})
	}},
	{command: "pgherd viewer create nagios", as: "pgherd viewer create nagios && test -s nagios.key"},
	{command: "pgherd viewer create prometheus --dir /etc/prometheus/pgherd", before: firstOf("metrics.md", "install -d /etc/prometheus/pgherd"),
		as: "pgherd viewer create prometheus --dir /etc/prometheus/pgherd && test -s /etc/prometheus/pgherd/prometheus.key"},
}

func (d *docsRun) knowsToken() {
	d.c.t.Helper()
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(d.n1.do("access", "list", "--json")), &list); err != nil || len(list) != 3 {
		d.c.t.Fatal(list, err)
	}
	d.stands["TOKEN"] = list[0].ID
}

var docsSets = []typed{
	{command: "pgherd config set postgres.parameters.NAME=VALUE", as: "pgherd config set postgres.parameters.work_mem=16MB", says: "reload"},
	{command: "pgherd config set postgres.parameters.work_mem=32MB", says: "reload"},
	{command: "pgherd config set postgres.parameters.max_connections=300", says: "restart"},
	{command: "pgherd restart --rolling", before: (*docsRun).notesPrimary, after: func(d *docsRun) {
		d.otherPrimary()
		for _, m := range d.c.members {
			if got := d.c.must(m, "SELECT current_setting('work_mem') || current_setting('max_connections')"); got != "32MB300" {
				d.c.t.Errorf("%s has %s", m.name, got)
			}
		}
	}},
	{command: "pgherd config edit", as: "echo y | EDITOR='sed -i s/32MB/33MB/' pgherd config edit", says: "33MB"},
	// No member has an interface for it: the spec alone is changed. That it is borne is vip-follows-primary's.
	{command: "pgherd config set vip.address=10.0.0.100/24", says: "10.0.0.100/24"},
	{command: "pgherd config set vip.address=", says: "10.0.0.100/24"},
}

// docsMoves is in an order in which somebody else leads than who shall: each move takes seconds. The rolling restart has just taken the lead from n1.
var docsMoves = []typed{
	{command: "pgherd switchover --dry-run", before: (*docsRun).notesPrimary, after: (*docsRun).samePrimary},
	{command: "pgherd switchover --at 2026-12-01T03:00:00Z", says: "is planned for"},
	{command: "pgherd cancel"},
	{command: "pgherd switchover --at TIME", says: "is planned for", after: func(d *docsRun) { d.n1.do("cancel") }},
	{command: "pgherd failover MEMBER", as: "pgherd failover n2", code: 3, says: " leads", after: (*docsRun).samePrimary}, // it is for when nobody leads
	{command: "pgherd pause", after: func(d *docsRun) { d.c.waitCondition(10*time.Second, "paused") }},
	{command: "pgherd resume", after: func(d *docsRun) {
		d.c.wait(10*time.Second, "an end of the pause", func() bool { s := d.c.status(); return len(s.Members) > 0 && !s.Paused })
	}},
	{command: "pgherd switchover [MEMBER]", as: "pgherd switchover n1", says: "commits lost: 0", before: calm, after: isLed("n1")},
	{command: "pgherd switchover n2", says: "commits lost: 0", after: isLed("n2")},
	{command: "pgherd outcome ID", as: "pgherd outcome OPERATION", says: "done", before: func(d *docsRun) { d.stands["OPERATION"] = d.c.operation().ID }},
	{command: "pgherd drain n2", before: (*docsRun).notesPrimary, after: func(d *docsRun) { drained(1)(d); (*docsRun).otherPrimary(d) }},
	{command: "pgherd undrain n2", after: drained(0)},
	{command: "pgherd drain MEMBER", as: "pgherd drain n3", before: calm, after: drained(1)},
	{command: "pgherd undrain", as: "pgherd undrain n3", after: drained(0)},
	{command: "pgherd restart MEMBER", as: "pgherd restart n3", before: (*docsRun).notesServers, after: another("n3")},
	{command: "pgherd restart [MEMBER...]", as: "pgherd restart n2 n3", before: (*docsRun).notesServers, after: another("n2", "n3")},
	// Without something that waits for it there is nobody to restart.
	{command: "pgherd restart", before: func(d *docsRun) {
		d.notesPrimary()
		d.n1.do("config", "set", "postgres.parameters.max_connections=310")
		d.c.waitCondition(20*time.Second, "restart_pending")
	}, after: func(d *docsRun) {
		d.c.waitSetting(30*time.Second, "max_connections", "310", d.c.members...)
		d.samePrimary()
	}},
	{command: "pgherd switchover", says: "commits lost: 0", after: (*docsRun).otherPrimary},
}

// docsBreaks begins with what gives the pages' forks their sense: a primary that went on alone.
var docsBreaks = []typed{
	{command: "pgherd forks show n1/20261128T101500Z-tl4", says: "diverged", before: (*docsRun).forks},
	{command: "pgherd forks show MEMBER/ID", as: "pgherd forks show n1/20261128T101500Z-tl4 --json", says: `"summary"`},
	{command: "pgherd forks remove n1/20261128T101500Z-tl4", after: hasNoFork("n1/20261128T101500Z-tl4")},
	{command: "pgherd reinit n3", before: leadsNot("n3"), after: func(d *docsRun) { d.hasFork(api.ForkData, "MEMBER/ID", "n3") }},
	{command: "pgherd forks remove MEMBER/ID", after: hasNoFork("MEMBER/ID")},
	{command: "pgherd reinit MEMBER", as: "pgherd reinit STANDBY", before: (*docsRun).choosesStandby,
		after: func(d *docsRun) { d.hasFork(api.ForkData, "MEMBER/aside-", d.stands["STANDBY"]) }},
	{command: "pgherd forks remove MEMBER/aside-", after: hasNoFork("MEMBER/aside-")},
}

// choosesStandby takes another one than n3, which has just been cloned.
func (d *docsRun) choosesStandby() {
	d.c.t.Helper()
	for _, m := range d.c.others(d.c.waitRouted()) {
		if m.name != "n3" {
			d.stands["STANDBY"] = m.name
		}
	}
}

// forks has the primary go on alone, and die.
func (d *docsRun) forks() {
	d.c.t.Helper()
	const shown = "n1/20261128T101500Z-tl4"
	old, leader := d.c.diverge()
	old.start()
	leader.do("config", "set", "durability=sync")
	d.hasFork(api.ForkWAL, shown, old.name)
	d.c.wait(20*time.Second, "the table's name", func() bool {
		return strings.Contains(d.n1.try("forks", "show", d.stands[shown]).stdout, "diverged")
	})
}

var docsComesAndGoes = []typed{
	{command: "pgherd init", as: "pgherd init --name n1 --address 127.0.0.9 SETUP", before: placed("n1", "127.0.0.9"), after: made},
	{command: "pgherd init --cluster NAME", as: "pgherd init --cluster other --name n1 --address 127.0.0.9 SETUP", before: placed("n1", "127.0.0.9"), after: made},
	{command: "pgherd init --name n1 --address A1", as: "pgherd init --name n1 --address 127.0.0.9 SETUP", before: placed("n1", "127.0.0.9"), after: made},
	{command: "pgherd init --spec FILE", as: "pgherd config show > FILE && pgherd init --spec FILE --name n1 --address 127.0.0.9 SETUP", before: placed("n1", "127.0.0.9"), after: made},
	{command: "pgherd token create --pooler", as: "pgherd token create --pooler > token"},
	{command: "pgherd pooler join 10.0.0.1:7432 --token-file token --name app1 --address 10.0.0.9", before: (*docsRun).placesPooler,
		as: "pgherd pooler join 10.0.0.1:7432 --token-file token --name app1 --address 10.0.0.9 SETUP", after: made},
	{command: "pgherd pooler remove app1"},
	{command: "pgherd pooler admit NAME --address ADDRESS", as: "pgherd pooler admit app2 --address 10.0.0.9", after: func(d *docsRun) { d.n1.do("pooler", "remove", "app2") }},
	{command: "pgherd token create --witness", as: "pgherd token create --witness > token"},
	{command: "pgherd join --witness", as: "pgherd join 10.0.0.1:7432 --token-file token --witness --name w1 --address 127.0.0.9 SETUP", before: placed("w1", "127.0.0.9"), after: made},
	{command: "pgherd remove MEMBER", as: "pgherd remove w1", after: isGone("w1")},
	{command: "pgherd token create", as: "pgherd token create > /root/token"},
	{command: "pgherd join 10.0.0.1:7432 --token-file /root/token --name n4 --address 10.0.0.4", before: func(d *docsRun) { d.place("n4", "127.0.0.5", true) },
		as: "pgherd join 10.0.0.1:7432 --token-file /root/token --name n4 --address 10.0.0.4 SETUP", after: func(d *docsRun) { d.fresh.start(); calm(d) }},
	{command: "pgherd remove n3", before: stopped("n3"), after: isGone("n3")},
	{command: "pgherd remove n1", on: "n2", before: stopped("n1"), after: isGone("n1")},
}

// docsNamed is checked: a longer form has to be in docsTyped.
const docsNamed = "a sentence names it, and a longer form of it is run here"

// docsElsewhere are the commands that are not run here, why not, and the test that runs them.
var docsElsewhere = map[string]struct{ why, test string }{
	"pgherd access revoke": {why: docsNamed},
	"pgherd drain":         {why: docsNamed},
	"pgherd forks remove":  {why: docsNamed},
	"pgherd forks show":    {why: docsNamed},
	"pgherd join":          {why: docsNamed},
	"pgherd pooler admit":  {why: docsNamed},
	"pgherd pooler join":   {why: docsNamed},
	"pgherd pooler remove": {why: docsNamed},
	"pgherd reinit":        {why: docsNamed},
	"pgherd replay":        {why: docsNamed},
	"pgherd viewer create": {why: docsNamed},
	"pgherd wait":          {why: docsNamed},

	"pgherd init --name n1 --address 10.0.0.1":                                              {"it is run on a host of its own, as it is written", "TestQuickStart"},
	"pgherd join 10.0.0.1:7432 --token-file /root/token --name n2 --address 10.0.0.2":       {"it is run on a host of its own, as it is written", "TestQuickStart"},
	"pgherd join 10.0.0.1:7432 --token-file /root/token3 --name n3 --address 10.0.0.3":      {"it is run on a host of its own, as it is written", "TestQuickStart"},
	"pgherd join A1:7432 --token-file FILE --name n2 --address A2":                          {"there is an n2 here; the quick start has it with addresses", "TestQuickStart"},
	`runuser -u postgres -- psql -h /var/lib/pgherd/run -c "CREATE ROLE app LOGIN"`:         {"it is run as it is written", "TestQuickStart"},
	`runuser -u postgres -- psql -h /var/lib/pgherd/run -c "CREATE DATABASE app OWNER app"`: {"it is run as it is written", "TestQuickStart"},

	"pgherd run":                       {"it is what each member here runs by, until its end", "TestRunRefusals"},
	"pgherd pooler run":                {"it runs until its end", "TestPoolerHost"},
	"pgherd top":                       {"it needs a terminal, and is looked at until it is left", "TestTop"},
	"pgherd failover n2":               {"nobody must lead, for a loss to be stated", "TestForcedFailover"},
	"pgherd failover --force":          {"nobody must lead, for a loss to be taken", "TestForcedFailover"},
	"pgherd recover --confirm CLUSTER": {"the store must be lost", "TestRecoverALostStore"},
	"pgherd recover --accept-loss":     {"the store must be lost, and shares of it for good", "TestLab/store-majority-lost"},
}
