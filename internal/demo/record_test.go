package demo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestRecordIsWhatScriptsRead(t *testing.T) {
	r := Record{WriteDSN: "w", ReadDSN: "r", Members: []RecordMember{{Name: "n1", Config: "/d/n1/pgherd.yaml", Port: 5500}, {Name: "n2", WardenPID: 9}}}
	r = r.withPIDs([]process{
		{pid: 11, member: "n1", kind: kindAgent}, {pid: 12, member: "n1", kind: kindWarden},
		{pid: 13, member: "n1", kind: kindPostmaster}, {pid: 14, member: "n1", kind: kindPostgres},
	})
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"write_dsn":"w","read_dsn":"r","members":[` +
		`{"name":"n1","config":"/d/n1/pgherd.yaml","agent_pid":11,"warden_pid":12,"postgres_pid":13,"port":5500},` +
		`{"name":"n2","config":"","agent_pid":0,"warden_pid":0,"postgres_pid":0,"port":0}]}`
	if string(data) != want {
		t.Errorf("demo.json is\n%s\nwant\n%s", data, want)
	}
}

func TestRecordIsReplacedAsAWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), recordName)
	for _, name := range []string{"n1", "n2"} {
		before, _ := os.Open(path)
		if err := writeJSON(path, Record{Members: []RecordMember{{Name: name}}}); err != nil {
			t.Fatal(err)
		}
		if before != nil { // who has the old one open reads the old one to its end
			var r Record
			if err := json.NewDecoder(before).Decode(&r); err != nil || r.Members[0].Name != "n1" {
				t.Errorf("the old file reads %v, %v", r, err)
			}
			before.Close()
		}
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDSNHoldsNoSecret(t *testing.T) {
	c := &Cluster{dir: t.TempDir(), layout: layout{Members: []layoutMember{
		{Name: "n1", Ports: Ports{Postgres: 5500}}, {Name: "n2", Ports: Ports{Postgres: 5501}}}}}
	certificate := testCertificate(t)
	for name, text := range map[string]string{"ca.crt": certificate, "pgpass": address + ":*:*:app:s3cret\n"} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.record = c.newRecord()
	for _, dsn := range []string{c.WriteDSN(), c.ReadDSN(), c.MemberDSN("n2")} {
		if strings.Contains(dsn, "s3cret") {
			t.Errorf("the password is in %s", dsn)
		}
		config, err := pgx.ParseConfig(dsn)
		if err != nil {
			t.Fatalf("%s: %v", dsn, err)
		}
		if config.Password != "s3cret" || config.TLSConfig == nil || config.TLSConfig.InsecureSkipVerify || config.Database != "app" {
			t.Errorf("%s: password %q, TLS %v, database %q", dsn, config.Password, config.TLSConfig, config.Database)
		}
	}
	config, _ := pgx.ParseConfig(c.WriteDSN())
	if config.Port != 5500 || len(config.Fallbacks) != 1 || config.Fallbacks[0].Port != 5501 {
		t.Errorf("the writing DSN goes to %d and %v", config.Port, config.Fallbacks)
	}
	if c.MemberDSN("n9") != "" {
		t.Error("there is a DSN for a member that does not exist")
	}
}
