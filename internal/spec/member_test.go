package spec

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

const smallMember = "name: n1\naddress: 10.0.0.1\nstate_dir: /var/lib/pgherd\n"

func TestMemberDefaults(t *testing.T) {
	m, err := ParseMember([]byte(smallMember), "pgherd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := Member{
		Name: "n1", Address: "10.0.0.1", StateDir: "/var/lib/pgherd",
		Listen: Listen{API: "0.0.0.0:7432", Peer: "0.0.0.0:7433", Store: "0.0.0.0:7434"},
		Postgres: Postgres{
			DataDir: "/var/lib/pgherd/data", SocketDir: "/var/lib/pgherd/run", Port: 5432, Listen: "10.0.0.1,localhost",
		},
		Watchdog: Watchdog{Mode: WatchdogAutomatic, Device: "/dev/watchdog"},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	if got := m.AdvertisedAPI(); got != "10.0.0.1:7432" {
		t.Errorf("AdvertisedAPI %s", got)
	}
	w, err := ParseMember([]byte("name: w\naddress: '::1'\nstate_dir: /s\nwitness: true\n"), "")
	if err != nil || !reflect.DeepEqual(w.Postgres, Postgres{}) || w.AdvertisedPeer() != "[::1]:7433" {
		t.Errorf("witness %+v, %v", w, err)
	}
}

func fullMember() Member {
	return Member{
		Name: "n1", Address: "db1.example.org", StateDir: "/srv/pgherd",
		Listen: Listen{API: "0.0.0.0:7432", Peer: "[::]:7433", Store: ":7434", RW: "0.0.0.0:6432", RO: "0.0.0.0:6433"},
		Pooler: MemberPooler{Bin: "/usr/sbin/pgbouncer"},
		Postgres: Postgres{
			BinDir: "/usr/lib/postgresql/15/bin", DataDir: "/srv/pg/data", WalDir: "/srv/wal", SocketDir: "/srv/pg run", Port: 5433, Listen: "*",
			Parameters: map[string]string{
				"archive_command": `cp %p '/mnt/a b/%f' # "x"`, "archive_mode": "on", "shared_preload_libraries": "pg_stat_statements, auto_explain",
				"work_mem": "010", "pg_stat_statements.track": "all", "log_line_prefix": "%m [%p] ", "application_name": "",
			},
		},
		Store: Store{Endpoints: []string{"https://10.0.0.9:2379", "https://[::1]:2379"}, Prefix: "/pgherd", CAFile: "/etc/ca.crt", CertFile: "/etc/c.crt", KeyFile: "/etc/c.key"},
		Tags:  Tags{Zone: "on", Priority: -5, NoFailover: true, NoSync: true},

		Watchdog: Watchdog{Mode: WatchdogRequired, Device: "/dev/watchdog1", Timeout: Duration(2 * time.Second)},
		VIP:      Bearer{Interface: "bond0.12"},
		Log:      Log{Level: "debug", Format: LogJSON, Postgres: LogFile},
		HooksDir: "/etc/pgherd/hooks",
	}
}

func TestMemberYAMLRoundTrip(t *testing.T) {
	small, err := ParseMember([]byte(smallMember), "")
	if err != nil {
		t.Fatal(err)
	}
	witness, err := ParseMember([]byte("name: w\naddress: w.example.org\nstate_dir: /s\nwitness: true\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]Member{"member_small": small, "member_full": fullMember(), "member_witness": witness} {
		got, err := ParseMember(m.YAML(), name)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v\n%s", name, err, got, m, m.YAML())
		}
		golden(t, name+".yaml", m.YAML())
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (-update writes it anew):\n%s", path, got)
	}
}

func TestMemberProblems(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"unknown key":          {"name: n1\nadress: x\nstate_dir: /s\n", `pgherd.yaml: unknown key "adress" at line 2; did you mean "address"?`},
		"unknown key below":    {smallMember + "postgres:\n  prot: 1\n", `pgherd.yaml: unknown key "postgres.prot" at line 5; did you mean "port"?`},
		"unknown without hint": {smallMember + "colour: red\n", `pgherd.yaml: unknown key "colour" at line 4`},
		"two at once":          {"nmae: n1\nadress: x\n", "unknown key \"nmae\" at line 1; did you mean \"name\"?\npgherd.yaml: unknown key \"adress\" at line 2"},
		"all missing":          {"", "pgherd.yaml: name: the name is empty\npgherd.yaml: address: the host is empty\npgherd.yaml: state_dir: is missing"},
		"twice":                {"name: a\nname: b\n", "already defined"},
		"broken":               {"name: [\n", "this is not YAML"},
		"two documents":        {smallMember + "---\nname: x\n", "more than one document"},
		"a list":               {"- name: n1\n", "this is a list; want keys with values"},
		"anchor":               {"name: &x n1\n", "anchors, aliases"},
		"merge":                {"<<: {name: n1}\n", "a key is not plain text"},
		"no value":             {"name:\n", "name: has no value at line 1"},
		"number":               {smallMember + "postgres: {port: many}\n", `postgres.port: "many" is not a whole number at line 4`},
		"bool":                 {smallMember + "witness: yes\n", `witness: "yes": want true or false at line 4`},
		"name":                 {"name: N_1\naddress: a\nstate_dir: /s\n", "1 to 32 of a-z 0-9 -"},
		"address with port":    {"name: n\naddress: a:1\nstate_dir: /s\n", "neither an IP address nor a host name"},
		"address everywhere":   {"name: n\naddress: 0.0.0.0\nstate_dir: /s\n", "others cannot dial it"},
		"address mistyped":     {"name: n\naddress: 10.0.0.256\nstate_dir: /s\n", "neither an IP address nor a host name"},
		"relative":             {"name: n\naddress: a\nstate_dir: s\n", "is not absolute at line 3; write the whole path"},
		"unclean":              {"name: n\naddress: a\nstate_dir: /s/../t\n", "write /t"},
		"listen":               {smallMember + "listen: {api: 7432}\n", "not an address to listen on at line 4; write HOST:PORT"},
		"port":                 {smallMember + "listen: {api: ':70000'}\n", `port "70000": want 1 to 65535`},
		"port taken":           {smallMember + "listen: {api: ':7433'}\n", "port 7433 is also that of listen.api"},
		"postgres' port":       {smallMember + "postgres: {port: 7434}\n", "port 7434 is also that of postgres.port"},
		"one endpoint":         {smallMember + "listen: {rw: ':6432'}\n", "rw and ro come together at line 4; write both, or none"},
		"endpoint's port":      {smallMember + "listen: {rw: ':6432', ro: ':5432'}\n", "listen.ro: port 5432 is also that of postgres.port"},
		"pooler's program":     {smallMember + "pooler: {bin: pgbouncer}\n", "is not absolute"},
		"socket too long":      {smallMember + "postgres: {socket_dir: /" + strings.Repeat("x", 90) + "}\n", "too long for a socket"},
		"state in data":        {smallMember + "postgres: {data_dir: /var/lib}\n", "state_dir lies in postgres.data_dir"},
		"wal in data":          {smallMember + "postgres: {wal_dir: /var/lib/pgherd/data/wal}\n", "wal_dir lies in postgres.data_dir"},
		"data in wal":          {smallMember + "postgres: {wal_dir: /var/lib/pgherd}\n", "lies in postgres.wal_dir"},
		"data in pki":          {smallMember + "postgres: {data_dir: /var/lib/pgherd/pki}\n", "for pgherd's keys"},
		"witness' postgres":    {smallMember + "witness: true\npostgres: {port: 5432}\n", "a witness runs no PostgreSQL"},
		"plain etcd":           {smallMember + "store: {endpoints: ['http://a:2379']}\n", "is not an endpoint at line 4"},
		"half a pair":          {smallMember + "store: {endpoints: ['https://a:2379'], cert_file: /c}\n", "cert_file and key_file come together"},
		"no endpoints":         {smallMember + "store: {prefix: /x}\n", "without store.endpoints the embedded store is used"},
		"priority":             {smallMember + "tags: {priority: 5000}\n", "want -1000 to 1000"},
		"watchdog mode":        {smallMember + "watchdog: {mode: on}\n", `watchdog.mode: "on": want off, automatic or required at line 4`},
		"watchdog device":      {smallMember + "watchdog: {device: watchdog}\n", `"watchdog" is not absolute`},
		"watchdog timeout":     {smallMember + "watchdog: {timeout: 1500ms}\n", "watchdog.timeout: 1.5s: want whole seconds up to 5m at line 4; leave it out"},
		"witness' watchdog":    {smallMember + "witness: true\nwatchdog: {mode: off}\n", "a witness has nothing to fence"},
		"owned parameter":      {smallMember + "postgres:\n  parameters:\n    fsync: off\n", `parameter "fsync": pgherd sets it: without it acknowledged commits are lost in a crash at line 6`},
		"equal parameter":      {smallMember + "postgres: {parameters: {max_connections: 5}}\n", "must be equal on all members"},
		"line break":           {smallMember + "postgres:\n  parameters:\n    archive_command: |\n      a\n      b\n", "line break"},
	} {
		_, err := ParseMember([]byte(c.yaml), "pgherd.yaml")
		var one *Error
		if err == nil || !errors.As(err, &one) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, c.want)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pgherd.yaml")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "pgherd init") {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte(smallMember), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := Load(path); err != nil || m.Name != "n1" {
		t.Errorf("%+v, %v", m, err)
	}
}

func FuzzParseMember(f *testing.F) {
	f.Add([]byte(smallMember))
	f.Add(fullMember().YAML())
	f.Add([]byte("name: &x n1\naddress: *x\n"))
	f.Add([]byte("postgres: {parameters: {work_mem: |-\n x\n}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMember(data, "f")
		if err != nil {
			var one *Error
			if !errors.As(err, &one) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		back, err := ParseMember(m.YAML(), "f")
		if err != nil || string(back.YAML()) != string(m.YAML()) {
			t.Fatalf("%q gave\n%s\nwhich reads back as (%v)\n%s", data, m.YAML(), err, back.YAML())
		}
	})
}

// Whatever is sent, the parser answers soon and does not take the process down.
func TestHostileDocuments(t *testing.T) {
	for _, unit := range []string{"[", "{", "- ", "? ", "a: {", "[[", "&a ", "!!x ", "\t", "'", "|\n "} {
		_, err := ParseMember([]byte(strings.Repeat(unit, documentBytesMax/len(unit))), "f")
		if err == nil {
			t.Errorf("%q repeated was accepted", unit)
		}
	}
	if _, err := ParseMember(make([]byte, documentBytesMax+1), "f"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too long: %v", err)
	}
	if _, err := DefaultCluster().Set("postgres.parameters.search_path", "\xff"); err == nil {
		t.Error("broken UTF-8 was accepted")
	}
}
