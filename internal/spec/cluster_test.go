package spec

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDefaultClusterRoundTrips(t *testing.T) {
	c := DefaultCluster()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	golden(t, "cluster_default.yaml", c.YAML())
	bare := c.clone()
	bare.Postgres = ClusterPostgres{Parameters: map[string]string{}, HBA: []HBARule{}}
	bare.Durability = DurabilityAsync
	bare.Lease.TTL = Duration(90 * time.Second)
	rich := c.clone()
	rich.Strict = true
	rich.Postgres.Parameters["log_line_prefix"] = "%m [%p] it's \"x\" "
	rich.Postgres.Parameters["work_mem"] = "010"
	rich.Postgres.Parameters["search_path"] = ""
	rich.Postgres.Parameters["default_text_search_config"] = "null"
	rich.Postgres.HBA = append(rich.Postgres.HBA, HBARule{Databases: []string{"a b", "sameuser"}, Users: []string{"+staff", "ünï"}, From: "fe80::/10", Auth: "cert"})
	rich.VIP.Address = "10.0.0.100/24"
	golden(t, "cluster_rich.yaml", rich.YAML())
	for _, want := range []Cluster{c, bare, rich} {
		got, err := ParseCluster(want.YAML())
		if err != nil || !reflect.DeepEqual(got, want.withOrdered()) {
			t.Errorf("YAML: %v\ngot  %+v\nwant %+v\n%s", err, got, want, want.YAML())
		}
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var back Cluster
		if err := json.Unmarshal(data, &back); err != nil || len(Diff(want, back)) != 0 {
			t.Errorf("JSON: %v\n%s\n%+v", err, data, Diff(want, back))
		}
	}
	if data, _ := json.Marshal(c); !strings.Contains(string(data), `"ttl":"5s"`) {
		t.Errorf("durations in JSON: %s", data)
	}
}

func TestParseClusterKeepsDefaults(t *testing.T) {
	c, err := ParseCluster([]byte("durability: async\nlease: {ttl: 10s}\npostgres:\n  parameters: {work_mem: 8MB}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultCluster()
	want.Durability, want.Lease.TTL = DurabilityAsync, Duration(10*time.Second)
	want.Postgres.Parameters = map[string]string{"work_mem": "8MB"} // taken whole,
	want = want.withOrdered()                                       // but for those whose order is kept
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// A standby must know how much its primary has of these; a parameter that was removed,
// or written as 0x32, would have no order that could be kept.
func TestOrderedParametersAreAlwaysThereAndDecimal(t *testing.T) {
	c, err := DefaultCluster().Set("postgres.parameters.max_connections", "")
	if err != nil || c.Postgres.Parameters["max_connections"] != "100" {
		t.Errorf("removed: %v, max_connections %q", err, c.Postgres.Parameters["max_connections"])
	}
	if _, err := DefaultCluster().Set("postgres.parameters.max_connections", "0x132"); err == nil {
		t.Error("0x132 passes for a number")
	}
}

func TestReservedRolesAreNotLetInByRules(t *testing.T) {
	for _, user := range []string{"postgres", "+postgres", "pgherd_rewind"} {
		c := DefaultCluster()
		c.Postgres.HBA = append(c.Postgres.HBA, HBARule{Databases: []string{"all"}, Users: []string{user}, From: "samenet", Auth: "cert"})
		if err := c.Validate(); err == nil {
			t.Errorf("%s: accepted, though no member could render the rule", user)
		}
	}
}

func TestClusterProblems(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"unknown":       {"lease: {tll: 5s}", `unknown key "lease.tll" at line 1; did you mean "ttl"?`},
		"ttl":           {"lease: {ttl: 2s}", "lease.ttl: 2s: want 3s to 5m at line 1"},
		"duration":      {"lease: {ttl: 5}", `lease.ttl: "5" is not a duration such as 5s`},
		"renew":         {"lease: {ttl: 3s, renew: 2s}", "the lease would end between renewals"},
		"margin":        {"lease: {margin: 0s}", "lease.margin: 0s: want 100ms or more"},
		"durability":    {"durability: maybe", `"maybe": want sync or async`},
		"strict async":  {"strict: true\ndurability: async", "commits cannot wait"},
		"standbys":      {"sync_standbys: 0", "want 1 to 9"},
		"lag":           {"max_lag_bytes: -1", "want 0 or more"},
		"recovery":      {"crash_recovery_max: 10ms", "want 1s to 1h"},
		"pool mode":     {"pooler: {mode: statement}", `pooler.mode: "statement": want transaction or session`},
		"pool size":     {"pooler: {pool_size: 0}", "pooler.pool_size: 0: want 1 to 10000"},
		"query wait":    {"pooler: {query_wait: 5s}", "want 15s to 1h: clients wait for so long"},
		"read lag":      {"pooler: {read_lag_max_bytes: -1}", "want 0 or more"},
		"lag unit":      {"max_lag_bytes: 16MB", `"16MB" is not a whole number`},
		"command":       {"postgres:\n  parameters:\n    archive_command: rm", `parameter "archive_command": it runs a command, so it cannot be set over the network at line 3; set it under`},
		"case":          {"postgres: {parameters: {Archive_Command: rm}}", "lower case"},
		"include":       {"postgres: {parameters: {include_dir: /x}}", "want a parameter's name"},
		"injection":     {"postgres: {parameters: {\"work_mem = 1\\narchive_command\": rm}}", "want a parameter's name"},
		"value break":   {"postgres: {parameters: {work_mem: \"1\\narchive_command = 'rm'\"}}", "line break"},
		"perl":          {"postgres: {parameters: {plperl.on_init: x}}", "it runs a command"},
		"unknown class": {"postgres: {parameters: {cron.database_name: x}}", "not known as safe"},
		"mistyped":      {"postgres: {parameters: {wrok_mem: 1MB}}", `did you mean "work_mem"?`},
		"owned":         {"postgres: {parameters: {primary_conninfo: x}}", "pgherd sets it: it changes with the primary"},
		"commit":        {"postgres: {parameters: {synchronous_commit: OFF}}", "use durability: async"},
		"password":      {"postgres: {parameters: {password_encryption: md5}}", "only scram-sha-256"},
		"reserved":      {"postgres: {parameters: {superuser_reserved_connections: 0}}", "pgherd needs one"},
		"senders":       {"postgres: {parameters: {max_wal_senders: 1}}", "from 12 up"},
		"trust":         {"postgres: {hba: [{databases: [all], users: [all], from: samenet, auth: trust}]}", `postgres.hba[0].auth: "trust": want scram-sha-256 or cert`},
		"internet":      {"postgres: {hba: [{databases: [all], users: [all], from: 0.0.0.0/0, auth: cert}]}", "the whole internet"},
		"host bits":     {"postgres: {hba: [{databases: [all], users: [all], from: 10.0.0.1/8, auth: cert}]}", "write 10.0.0.0/8"},
		"bare address":  {"postgres: {hba: [{databases: [all], users: [all], from: 10.0.0.1, auth: cert}]}", "write 10.0.0.1/32"},
		"file":          {"postgres: {hba: [{databases: ['@x'], users: [all], from: samenet, auth: cert}]}", `"@x" is not a name`},
		"replication":   {"postgres: {hba: [{databases: [replication], users: [all], from: samenet, auth: cert}]}", "its rules are pgherd's own"},
		"nobody":        {"postgres: {hba: [{databases: [all], from: samenet, auth: cert}]}", "users: is empty"},
		"hba no list":   {"postgres: {hba: all}", "postgres.hba: want a list"},
	} {
		_, err := ParseCluster([]byte(c.yaml))
		var one *Error
		if err == nil || !errors.As(err, &one) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, c.want)
		}
	}
}

func TestSet(t *testing.T) {
	c := DefaultCluster()
	for name, s := range map[string]struct {
		path, value string
		check       func(Cluster) bool
	}{
		"parameter": {"postgres.parameters.max_connections", "200", func(c Cluster) bool { return c.Postgres.Parameters["max_connections"] == "200" }},
		"dotted": {"postgres.parameters.auto_explain.log_min_duration", "1s", func(c Cluster) bool {
			return c.Postgres.Parameters["auto_explain.log_min_duration"] == "1s"
		}},
		"removed": {"postgres.parameters.wal_keep_size", "", func(c Cluster) bool { _, ok := c.Postgres.Parameters["wal_keep_size"]; return !ok }},
		"ttl":     {"lease.ttl", "8s", func(c Cluster) bool { return c.Lease.TTL.D() == 8*time.Second }},
		"bool":    {"strict", "true", func(c Cluster) bool { return c.Strict }},
		"number":  {"max_lag_bytes", "1000", func(c Cluster) bool { return c.MaxLagBytes == 1000 }},
		"text":    {"durability", "async", func(c Cluster) bool { return c.Durability == DurabilityAsync }},
		"list": {"postgres.hba", "[{databases: [app], users: [app], from: 10.0.0.0/8, auth: cert}]", func(c Cluster) bool {
			return len(c.Postgres.HBA) == 1 && c.Postgres.HBA[0].From == "10.0.0.0/8"
		}},
	} {
		got, err := c.Set(s.path, s.value)
		if err != nil || !s.check(got) {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
		if !reflect.DeepEqual(c, DefaultCluster()) {
			t.Fatalf("%s changed its receiver", name)
		}
	}
	for path, s := range map[string]struct{ value, want string }{
		"lease.tll":                           {"5s", `unknown key "lease.tll"; did you mean "lease.ttl"?`},
		"postgres.paramters.work_mem":         {"1", `unknown key "postgres.paramters.work_mem"`},
		"durabilty":                           {"sync", `did you mean "durability"?`},
		"lease.ttl.x":                         {"5s", "unknown key"},
		"":                                    {"x", "unknown key"},
		"lease":                               {"x", "is a section; set one of its keys"},
		"strict":                              {"", "has no value; only parameters can be removed"},
		"sync_standbys":                       {"two", "not a whole number"},
		"postgres.hba":                        {"all", "want a list"},
		"postgres.parameters":                 {"x", "is a section"},
		"postgres.parameters.archive_command": {"x", "cannot be set over the network"},
		"postgres.parameters.wal_keep_sizee":  {"", `is not set; did you mean "wal_keep_size"?`},
		"lease.renew":                         {"9s", "end between renewals"},
	} {
		if _, err := c.Set(path, s.value); err == nil || !strings.Contains(err.Error(), s.want) {
			t.Errorf("%s=%s: got %v, want %s", path, s.value, err, s.want)
		}
	}
	if _, err := (Cluster{}).Set("postgres.parameters.work_mem", "1MB"); err == nil {
		t.Error("an empty spec became valid")
	}
}

func TestDiff(t *testing.T) {
	old := DefaultCluster()
	for name, s := range map[string]struct {
		change func(*Cluster)
		want   []Change // Reason: a part of it
	}{
		"nothing": {func(*Cluster) {}, nil},
		"lease":   {func(c *Cluster) { c.Lease.TTL = Duration(8 * time.Second) }, []Change{{"lease.ttl", "5s", "8s", EffectNone, "next decision"}}},
		"mode": {func(c *Cluster) { c.Durability, c.SyncStandbys = DurabilityAsync, 2 }, []Change{
			{"durability", "sync", "async", EffectReload, "confirm"}, {"sync_standbys", "1", "2", EffectReload, "confirm"},
		}},
		"parameters": {func(c *Cluster) {
			c.Postgres.Parameters = map[string]string{"max_connections": "200", "shared_buffers": "1GB", "work_mem": "8MB"}
			for _, same := range []string{"max_wal_senders", "max_replication_slots", "max_worker_processes", "max_prepared_transactions", "max_locks_per_transaction", "max_slot_wal_keep_size", "password_encryption"} {
				c.Postgres.Parameters[same] = old.Postgres.Parameters[same]
			}
		}, []Change{
			{"postgres.parameters.max_connections", "100", "200", EffectRestart, "grow first and shrink last"},
			{"postgres.parameters.shared_buffers", "", "1GB", EffectRestart, "at its start only"},
			{"postgres.parameters.wal_keep_size", "128MB", "", EffectReload, "while it runs"},
			{"postgres.parameters.work_mem", "", "8MB", EffectReload, "while it runs"},
		}},
		"refused": {func(c *Cluster) { c.Postgres.Parameters["fsync"] = "off" }, []Change{{"postgres.parameters.fsync", "", "off", EffectRefuse, "acknowledged commits"}}},
		"rules": {func(c *Cluster) { c.Postgres.HBA = nil }, []Change{
			{"postgres.hba", "[{databases: [all], users: [all], from: samenet, auth: scram-sha-256}]", "[]", EffectReload, "new connections"},
		}},
		"bad rule": {func(c *Cluster) { c.Postgres.HBA = []HBARule{{[]string{"all"}, []string{"all"}, "samenet", "trust"}} }, []Change{
			{"postgres.hba", "[{databases: [all], users: [all], from: samenet, auth: scram-sha-256}]", "[{databases: [all], users: [all], from: samenet, auth: trust}]", EffectRefuse, "trust"},
		}},
		"bad through another": {func(c *Cluster) { c.Lease.Margin = Duration(4 * time.Second) }, []Change{
			{"lease.margin", "1s", "4s", EffectNone, "next decision"}, {"lease.renew", "", "", EffectRefuse, "between renewals"},
		}},
	} {
		c := old.clone()
		s.change(&c)
		got := Diff(old, c)
		if len(got) != len(s.want) {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		for i, g := range got {
			w := s.want[i]
			if g.Path != w.Path || g.Old != w.Old || g.New != w.New || g.Effect != w.Effect || !strings.Contains(g.Reason, w.Reason) {
				t.Errorf("%s: got %+v, want %+v", name, g, w)
			}
		}
	}
}

func FuzzParseCluster(f *testing.F) {
	f.Add(DefaultCluster().YAML())
	f.Add([]byte("lease: {ttl: 5s}\npostgres: {parameters: {work_mem: 010}, hba: []}"))
	f.Add([]byte("postgres: {hba: [{databases: ['a\"b'], users: [+x], from: ::/1, auth: cert}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCluster(data)
		if err != nil {
			var one *Error
			if !errors.As(err, &one) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		back, err := ParseCluster(c.YAML())
		if err != nil || len(Diff(c, back)) != 0 {
			t.Fatalf("%q gave\n%s\nwhich reads back with %v, %+v", data, c.YAML(), err, Diff(c, back))
		}
	})
}

func FuzzSet(f *testing.F) {
	f.Add("lease.ttl", "8s")
	f.Add("postgres.parameters.work_mem", "1MB")
	f.Add("postgres.hba", "[{databases: [all]")
	f.Fuzz(func(t *testing.T, path, value string) {
		c, err := DefaultCluster().Set(path, value)
		if err == nil && c.Validate() != nil {
			t.Fatalf("%q=%q gave an invalid spec", path, value)
		}
	})
}

// A spec that an older version wrote says nothing of forks: it must mean the defaults, never
// "keep nothing".
func TestForksOfAnOlderSpecAreTheDefaults(t *testing.T) {
	old := DefaultCluster()
	old.Forks = Forks{}
	if old.Retention() != DefaultCluster().Forks {
		t.Errorf("retention %+v", old.Retention())
	}
	if err := old.Validate(); err != nil {
		t.Error(err)
	}
	if changes := Diff(old, DefaultCluster()); len(changes) != 0 {
		t.Errorf("the defaults are no change: %v", changes)
	}
	next, err := old.Set("forks.aside", "5")
	if want := (Forks{Keep: DefaultCluster().Forks.Keep, MaxBytes: DefaultCluster().Forks.MaxBytes, Aside: 5}); err != nil || next.Forks != want {
		t.Errorf("set one of them: %+v, %v", next.Forks, err)
	}
	for path, value := range map[string]string{"forks.keep": "0s", "forks.max_bytes": "-1", "forks.aside": "-1"} {
		if _, err := old.Set(path, value); err == nil {
			t.Errorf("%s=%s was taken", path, value)
		}
	}
}

// A spec that an older version wrote says nothing of health: it must mean the defaults, never "give
// nobody up".
func TestHealthOfAnOlderSpecIsTheDefault(t *testing.T) {
	old := DefaultCluster()
	old.Health = Health{}
	if old.HealthRules() != DefaultCluster().Health {
		t.Errorf("%+v", old.HealthRules())
	}
	if err := old.Validate(); err != nil {
		t.Error(err)
	}
	if changes := Diff(old, DefaultCluster()); len(changes) != 0 {
		t.Errorf("the defaults are no change: %v", changes)
	}
	next, err := old.Set("health.failover", "false")
	if want := (Health{WriteTimeout: DefaultCluster().Health.WriteTimeout}); err != nil || next.Health != want {
		t.Errorf("set one of them: %+v, %v", next.Health, err)
	}
	for _, value := range []string{"2s", "6m"} {
		if _, err := old.Set("health.write_timeout", value); err == nil {
			t.Errorf("health.write_timeout=%s was taken", value)
		}
	}
}

// A spec that an older version wrote says nothing of poolers: it must mean the defaults, never a pool
// of no connections.
func TestOlderSpecPoolsByDefault(t *testing.T) {
	old := DefaultCluster()
	old.Pooler = Pooler{}
	if err := old.Validate(); err != nil || old.PoolerRules() != DefaultPooler() {
		t.Errorf("%v, %+v", err, old.PoolerRules())
	}
	if changes := Diff(old, DefaultCluster()); len(changes) != 0 {
		t.Errorf("changes: %+v", changes)
	}
	next, err := old.Set("pooler.pool_size", "7")
	want := DefaultPooler()
	want.PoolSize = 7
	if err != nil || next.Pooler != want {
		t.Errorf("%v, %+v", err, next.Pooler)
	}
	off, err := next.Set("pooler.off", "true")
	if err != nil || !off.Pooler.Off {
		t.Fatalf("off: %v", err)
	}
	back, err := ParseCluster(off.YAML())
	if changes := Diff(next, back); err != nil || len(changes) != 1 || changes[0].Path != "pooler.off" || changes[0].Effect != EffectNone {
		t.Errorf("%v, %+v", err, changes)
	}
	if _, err := old.Set("pooler.mode", "statement"); err == nil {
		t.Error("mode statement was taken")
	}
}
