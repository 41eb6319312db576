package postgres

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

func TestParseVersion(t *testing.T) {
	for line, want := range map[string]string{
		"postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n": "15.14",
		"postgres (PostgreSQL) 18beta1":                          "18.0",
		"postgres (PostgreSQL) 14.0":                             "14.0",
	} {
		if v, err := ParseVersion(line); err != nil || v.String() != want {
			t.Errorf("%q: %v, %v", line, v, err)
		}
	}
	for _, line := range []string{"", "postgres", "postgres (PostgreSQL) devel"} {
		if v, err := ParseVersion(line); err == nil {
			t.Errorf("%q: %v", line, v)
		}
	}
}

func TestFindBinDir(t *testing.T) {
	dir, v, err := FindBinDir("")
	check(t, err)
	if same, sv, err := FindBinDir(dir); err != nil || same != dir || sv != v {
		t.Errorf("given dir: %s %v %v", same, sv, err)
	}
	if _, _, err := FindBinDir("/usr/bin"); err == nil && dir != "/usr/bin" {
		t.Error("a directory without PostgreSQL was taken")
	}
	old := testDir(t)
	for _, name := range []string{"postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata", "pg_waldump"} {
		check(t, os.WriteFile(filepath.Join(old, name), []byte("#!/bin/sh\necho 'postgres (PostgreSQL) 13.9'\n"), 0o700))
	}
	if _, _, err := FindBinDir(old); err == nil || !strings.Contains(err.Error(), "14 or newer") {
		t.Errorf("PostgreSQL 13: %v", err)
	}
}

// controlBytes makes a control file of the layout of one format version.
func controlBytes(version uint32, state uint32) []byte {
	data := make([]byte, 8192)
	o := binary.NativeEndian
	o.PutUint64(data[offSystemID:], 7300000000000000001)
	o.PutUint32(data[offVersion:], version)
	o.PutUint32(data[offState:], state)
	o.PutUint64(data[offCheckpoint:], 0x1_0000_0028)
	o.PutUint64(data[offRedo:], 0x1_0000_0000)
	o.PutUint32(data[offTimeline:], 3)
	o.PutUint32(data[offSegmentBytes:], 16<<20)
	at := offCRC1300
	if version >= 1800 {
		at = offCRC1800
	}
	o.PutUint32(data[at:], crc32.Checksum(data[:at], castagnoli))
	return data
}

func TestParseControl(t *testing.T) {
	for _, version := range []uint32{1300, 1700, 1800} {
		c, err := ParseControl(controlBytes(version, 1))
		check(t, err)
		if c.SystemID != "7300000000000000001" || c.State != StateShutDown || c.Checkpoint != 0x100000028 ||
			c.Redo != 0x100000000 || c.Timeline != 3 || c.WalSegmentBytes != 16<<20 {
			t.Errorf("version %d: %+v", version, c)
		}
	}
	torn := controlBytes(1300, 6)
	torn[40]++
	for name, data := range map[string][]byte{"torn": torn, "short": make([]byte, 100), "state": controlBytes(1300, 7), "old": controlBytes(942, 1)} {
		if c, err := ParseControl(data); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestRenderConf(t *testing.T) {
	c := Conf{Instance: Instance{DataDir: "/d'ata", SocketDir: "/a,b", Port: 5433}, Listen: "n1,localhost", ClusterName: "c",
		Source:     &Source{Host: "n2", Port: 5432, CertFile: `/k's\x.crt`, AppName: "n1"},
		Parameters: map[string]string{"Work_Mem": "8MB", "port": "1", "max_connections": "500", "x'y": "1", "app.name": "it's\na\\b", "include": "x"}}
	text := string(RenderConf(c))
	for _, want := range []string{
		"port = '5433'\n", "max_connections = '500'\n", "work_mem = '8MB'\n", `app.name = 'it''s\na\\b'` + "\n",
		"hba_file = '/d''ata/pgherd_hba.conf'\n", `unix_socket_directories = '"/a,b"'` + "\n", "ssl = 'on'\n", "wal_level = 'replica'\n",
		`sslcert=''/k\\''s\\\\x.crt''`, "sslmode=''verify-full''", "user=''pgherd_replicator''", "wal_log_hints = 'on'\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %s in\n%s", want, text)
		}
	}
	for _, bad := range []string{"port = '1'", "x'y", "include ="} {
		if strings.Contains(text, bad) {
			t.Errorf("%s in\n%s", bad, text)
		}
	}
	if refused := CheckParameters(c.Parameters); len(refused) != 3 {
		t.Errorf("refused: %v", refused)
	}
	for _, name := range []string{"primary_conninfo", "fsync", "recovery_target_time", "", "a b", "hot_standby"} {
		if checkParameter(name, "x") == nil {
			t.Errorf("%q was accepted", name)
		}
	}
	c.Source = nil
	if !strings.Contains(string(RenderConf(c)), "primary_conninfo = ''\n") {
		t.Error("without a source primary_conninfo must be there and empty")
	}
}

func TestConnInfoByTLSName(t *testing.T) {
	s := Source{Host: "10.0.0.1", Port: 1, TLSName: "n1"}
	if got := s.PrimaryConnInfo(); !strings.HasPrefix(got, "host='n1' hostaddr='10.0.0.1' ") {
		t.Error(got)
	}
	s.Host = "db1"
	if got := s.PrimaryConnInfo(); !strings.HasPrefix(got, "host='db1' port=") {
		t.Error(got)
	}
}

const wantHBA = `local  all  "postgres"  peer  map=pgherd
hostssl  replication  "pgherd_replicator"  all  cert  clientname=DN  map=pgherd_members
hostssl  "postgres"  "pgherd_rewind"  all  cert  clientname=DN  map=pgherd_members
hostssl  "postgres"  "pgherd_pooler"  all  cert  clientname=DN  map=pgherd_poolers
host  all,replication  "postgres","pgherd_replicator","pgherd_rewind","pgherd_pooler"  all  reject
hostssl  all,"my db","replication"  "o""k",+"staff"  10.0.0.0/8  scram-sha-256
hostssl  sameuser  all  samenet  cert
local  all,replication  all  reject
host  all,replication  all  all  reject
`

const poolerRule = `hostssl  "postgres"  "pgherd_pooler"  all  cert  clientname=DN  map=pgherd_poolers
`

const wantIdent = `pgherd  "osuser"  "postgres"
pgherd_members  "CN=n1,O=pgherd node"  "pgherd_replicator"
pgherd_members  "CN=n1,O=pgherd node"  "pgherd_rewind"
pgherd_members  "CN=n2,O=pgherd node"  "pgherd_replicator"
pgherd_members  "CN=n2,O=pgherd node"  "pgherd_rewind"
pgherd_poolers  "CN=app1,O=pgherd node"  "pgherd_pooler"
pgherd_poolers  "CN=app1,O=pgherd pooler"  "pgherd_pooler"
pgherd_poolers  "CN=n1,O=pgherd node"  "pgherd_pooler"
`

func rulesOnly(text []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestRenderHBA(t *testing.T) {
	good := HBAInput{OSUser: "osuser", Members: []string{"n2", "n1"}, Poolers: []string{"n1", "app1"}, Rules: []spec.HBARule{
		{Databases: []string{"all", "my db", "replication"}, Users: []string{`o"k`, "+staff"}, From: "10.0.0.0/8", Auth: "scram-sha-256"},
		{Databases: []string{"sameuser"}, Users: []string{"all"}, From: "samenet", Auth: "cert"}}}
	hba, ident, err := RenderHBA(good)
	check(t, err)
	if got := rulesOnly(hba); got != wantHBA {
		t.Errorf("hba:\n%s", got)
	}
	if got := rulesOnly(ident); got != wantIdent {
		t.Errorf("ident:\n%s", got)
	}
	alone := good
	alone.Poolers = nil
	hbaAlone, identAlone, err := RenderHBA(alone)
	check(t, err)
	if got := rulesOnly(hbaAlone); got != strings.Replace(wantHBA, poolerRule, "", 1) || strings.Contains(string(identAlone), "pooler") {
		t.Errorf("without poolers:\n%s%s", got, identAlone)
	}
	good.Hold = true
	held, _, err := RenderHBA(good)
	check(t, err)
	before, _, _ := strings.Cut(strings.Replace(wantHBA, poolerRule, "", 1), "hostssl  all,")
	if got := rulesOnly(held); got != before+"local  all,replication  all  reject\nhost  all,replication  all  all  reject\n" {
		t.Errorf("held: members, the administrator and nobody else are to get in:\n%s", got)
	}
	in := Instance{DataDir: t.TempDir()}
	for text, want := range map[string]bool{string(hba): false, string(held): true, "": false} {
		check(t, os.WriteFile(in.path(HBAFile), []byte(text), 0o600))
		if HBAHeld(in) != want {
			t.Errorf("held is not %v in\n%s", want, text)
		}
	}
	rule := func(user, from, auth string) HBAInput {
		return HBAInput{OSUser: "o", Rules: []spec.HBARule{{Databases: []string{"all"}, Users: []string{user}, From: from, Auth: auth}}}
	}
	for name, in := range map[string]HBAInput{
		"trust": rule("a", "10.0.0.0/8", "trust"), "superuser": rule("postgres", "samenet", "cert"), "reserved": rule("pgherd_x", "samenet", "cert"),
		"group of superuser": rule("+postgres", "samenet", "cert"), "newline": rule("a\nhost all all all trust", "samenet", "cert"),
		"from": rule("a", "all trust", "cert"), "regular expression": rule("/^p", "samenet", "cert"), "no users": {OSUser: "o", Rules: []spec.HBARule{{Databases: []string{"all"}}}},
		"member": {OSUser: "o", Members: []string{"/.*"}}, "pooler": {OSUser: "o", Poolers: []string{"/.*"}}, "no OS user": {}, "OS user": {OSUser: "/.*"}, "address": {OSUser: "o", ReplicationAddresses: []string{"x"}},
	} {
		if _, _, err := RenderHBA(in); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestParseWaldumpLine(t *testing.T) {
	line := "rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 16/01000028, prev 0/00000000, desc: CHECKPOINT_SHUTDOWN redo 0/1, lsn: 0/9,"
	if lsn, ok := parseWaldumpLine(line); !ok || lsn != 0x1601000028 {
		t.Errorf("%s %v", lsn, ok)
	}
	for _, bad := range []string{"", "first record is after 0/1", "rmgr: XLOG", "rmgr: XLOG, lsn: 0/0, x", "rmgr: XLOG, lsn: 0/12"} {
		if lsn, ok := parseWaldumpLine(bad); ok {
			t.Errorf("%q: %s", bad, lsn)
		}
	}
}

func TestRecoveringSegment(t *testing.T) {
	title := "postgres: main: startup recovering 0000000100000002000000FE\x00"
	if s, ok := recoveringSegment(title); !ok || s != "0000000100000002000000FE" {
		t.Errorf("%q %v", s, ok)
	}
	for _, other := range []string{"", "postgres: main: startup", "postgres: main: startup recovering 00", "grep startup recovering 0000000100000002000000FE"} {
		if s, ok := recoveringSegment(other); ok {
			t.Errorf("%q: %q", other, s)
		}
	}
}

func TestParseProgress(t *testing.T) {
	if p := parseProgress("  31185/104960 kB (29%), 0/1 tablespace"); p.DoneBytes != 31185<<10 || p.TotalBytes != 104960<<10 {
		t.Errorf("%+v", p)
	}
	if p := parseProgress("pg_basebackup: checkpoint completed"); p.TotalBytes != 0 || p.Text == "" {
		t.Errorf("%+v", p)
	}
}

func TestParseSegment(t *testing.T) {
	if s, ok := parseSegment("00000002000000010000000A", 16<<20); !ok || s.Timeline != 2 || s.Start != 0x10A000000 {
		t.Errorf("%+v %v", s, ok)
	}
	for _, name := range []string{"00000002.history", "00000002000000010000000A.partial", "0000000200000001000000ZZ"} {
		if s, ok := parseSegment(name, 16<<20); ok {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestTimelineOnDisk: the file that holds the last received byte tells its
// timeline; a recycled file of a later place does not.
func TestTimelineOnDisk(t *testing.T) {
	dir := testDir(t)
	check(t, os.MkdirAll(filepath.Join(dir, "global"), 0o700))
	check(t, os.MkdirAll(filepath.Join(dir, "pg_wal"), 0o700))
	check(t, os.WriteFile(filepath.Join(dir, "global", "pg_control"), controlBytes(1300, 5), 0o600))
	for _, name := range []string{"000000010000000000000001", "000000010000000000000002", "000000020000000000000002", "000000030000000000000003"} {
		check(t, os.WriteFile(filepath.Join(dir, "pg_wal", name), nil, 0o600))
	}
	for lsn, want := range map[wal.LSN]wal.Timeline{0: 0, 0x1800000: 1, 0x2000000: 1, 0x2000001: 2, 0x3000000: 2, 0x3000001: 3, 0x9000000: 0} {
		if got := must(TimelineOnDisk(dir, lsn))(t); got != want {
			t.Errorf("up to %s: %d, want %d", lsn, got, want)
		}
	}
}

func TestDataState(t *testing.T) {
	in := Instance{DataDir: filepath.Join(testDir(t), "data")}
	expect := func(want DirState) {
		t.Helper()
		if got, _, _, err := DataState(in); got != want || err != nil {
			t.Errorf("%s (%v), want %s", got, err, want)
		}
	}
	expect(DirAbsent)
	check(t, os.Mkdir(in.DataDir, 0o700))
	expect(DirEmpty)
	check(t, os.Mkdir(in.path("lost+found"), 0o700))
	expect(DirEmpty)
	check(t, os.WriteFile(in.path("notes"), nil, 0o600))
	expect(DirForeign)
	check(t, os.WriteFile(in.path("PG_VERSION"), []byte("15\n"), 0o600))
	expect(DirPresent)
	m := Mark{"c", "n1", "7"}
	check(t, WriteMark(in, m))
	if _, version, got, err := DataState(in); version != "15" || got == nil || *got != m || err != nil {
		t.Errorf("%s %+v %v", version, got, err)
	}
	check(t, os.WriteFile(in.path(MarkFile), []byte("{"), 0o600))
	if _, _, _, err := DataState(in); err == nil {
		t.Error("a broken mark was no error")
	}
}

func TestSignals(t *testing.T) {
	in := Instance{DataDir: testDir(t)}
	check(t, EnsureStandbySignal(in))
	check(t, EnsureStandbySignal(in))
	if there := must(exists(in.path("standby.signal")))(t); !there {
		t.Error("no standby.signal")
	}
	check(t, RemoveStandbySignal(in))
	check(t, RemoveStandbySignal(in))
	if there := must(exists(in.path("standby.signal")))(t); there {
		t.Error("standby.signal is still there")
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(controlBytes(1300, 1))
	f.Add(controlBytes(1800, 6)[:600])
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := ParseControl(data); err == nil && (c.State == "" || c.SystemID == "") {
			t.Errorf("accepted: %+v", c)
		}
	})
}

func FuzzHistory(f *testing.F) {
	f.Add("1\t0/3000000\tno recovery target specified\n\n2\t0/5000000\tx\n")
	f.Add("# comment\n1 0/1")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := wal.ParseHistory(text)
		for i := 1; err == nil && i < len(h); i++ {
			if h[i-1].Timeline >= h[i].Timeline {
				t.Errorf("accepted out of order: %v", h)
			}
		}
	})
}

func FuzzWaldumpLine(f *testing.F) {
	f.Add("rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 0/01000028, prev 0/0, desc: X")
	f.Fuzz(func(t *testing.T, line string) {
		if lsn, ok := parseWaldumpLine(line); ok && (lsn == 0 || !strings.Contains(line, "lsn: ")) {
			t.Errorf("%q: %s", line, lsn)
		}
	})
}
