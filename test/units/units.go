// Package units reads the systemd units that are shipped, so that tests can hold them to the limits in the code.
//
// It must not know those limits: each package compares with its own. It is a leaf, for tests alone.
package units

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Unit is what a unit file says, by "Section.Key"; a key that stands there twice has both values, as systemd adds them up.
type Unit map[string][]string

// Read gives deploy/systemd/NAME.
func Read(t testing.TB, name string) Unit {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	f, err := os.Open(filepath.Join(filepath.Dir(here), "../../deploy/systemd", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u, section := Unit{}, ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		key, value, isSetting := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case isSetting:
			u[section+"."+key] = append(u[section+"."+key], strings.Fields(value)...)
		}
	}
	return u
}

// Duration is a setting in seconds without a unit, or in Go's notation.
func (u Unit) Duration(t testing.TB, key string) time.Duration {
	t.Helper()
	if len(u[key]) != 1 {
		t.Fatalf("%s is %v", key, u[key])
	}
	text := u[key][0]
	if !strings.ContainsAny(text, "ms") {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return d
}

// HasNetworkUntilItsEnd checks that a host which goes down stops the service before what it needs for its last acts. systemd stops in the
// reverse order of After=. network-online.target alone does not keep the network: it is passed over when nothing
// on the host provides it, and what is ordered through it only is not ordered then.
func (u Unit) HasNetworkUntilItsEnd(t testing.TB) {
	t.Helper()
	for _, needed := range []string{"network.target", "network-online.target", "nss-lookup.target", "local-fs.target", "remote-fs.target"} {
		if !slices.Contains(u["Unit.After"], needed) {
			t.Errorf("it is not ordered after %s, so %s may be gone first when the host goes down", needed, needed)
		}
	}
	if u["Unit.DefaultDependencies"] != nil {
		t.Error("without default dependencies it is not stopped before the shutdown goes on")
	}
}

// EndsByItself checks that systemd asks the main process alone, by SIGTERM, and leaves the rest to it.
func (u Unit) EndsByItself(t testing.TB) {
	t.Helper()
	if !slices.Equal(u["Service.KillMode"], []string{"process"}) {
		t.Errorf("KillMode=%v: the processes that outlive this one would be killed with it", u["Service.KillMode"])
	}
	for _, key := range []string{"KillSignal", "ExecStop", "SendSIGHUP", "RestartKillSignal"} {
		if v := u["Service."+key]; v != nil {
			t.Errorf("%s=%v: a stop is SIGTERM to the main process", key, v)
		}
	}
}
