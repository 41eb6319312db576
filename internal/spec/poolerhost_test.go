package spec

import (
	"reflect"
	"strings"
	"testing"
)

func TestPoolerHostYAMLRoundTrip(t *testing.T) {
	least := PoolerHost{Name: "app1", Address: "10.0.0.9", StateDir: "/var/lib/pgherd"}.WithDefaults()
	if least.Listen != (PoolerListen{RW: "0.0.0.0:6432", RO: "0.0.0.0:6433"}) {
		t.Errorf("it listens on %+v", least.Listen)
	}
	full := least
	full.Listen = PoolerListen{RW: "10.0.0.9:5432", RO: "10.0.0.9:5433"}
	full.Pooler.Bin, full.Log = "/opt/pgbouncer", Log{Level: "warn", Format: LogJSON, Postgres: LogStream}
	for _, want := range []PoolerHost{least, full} {
		got, err := ParsePoolerHost(want.YAML(), "pooler.yaml")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v\n%s", err, got, want, want.YAML())
		}
	}
	for yaml, want := range map[string]string{
		"name: app1\naddress: a\nstate_dir: /s\nlisten: {rw: ':6433'}\n":  "port 6433 is also that of listen.rw",
		"name: app1\naddress: a\nstate_dir: /s\nlog: {level: loud}\n":     "want debug, info, warn, error",
		"name: app1\naddress: a\nstate_dir: s\n":                          "is not absolute",
		"name: app1\naddress: a\nstate_dir: /s\nlisten: {api: ':7432'}\n": `unknown key "listen.api"`,
		"address: a\nstate_dir: /s\n":                                     "the name is empty",
	} {
		if _, err := ParsePoolerHost([]byte(yaml), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", yaml, err, want)
		}
	}
}
