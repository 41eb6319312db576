package spec

import (
	"strings"
	"testing"
)

func TestVIPAddress(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.100/24": "", "10.0.0.100/32": "", "10.0.0.0/31": "", "2001:db8::100/64": "", "fd00::1/128": "",
		"10.0.0.100": "10.0.0.100/24", "10.0.0.0/24": "is a network", "0.0.0.0/0": "no address", "127.0.0.2/8": "no address",
		"fe80::1/64": "no address", "ff02::1/16": "no address", "::ffff:10.0.0.1/120": "write 10.0.0.1", "db.example.org": "want an address",
		"10.0.0.256/24": "want an address", "10.0.0.1/33": "want an address",
	} {
		_, err := DefaultCluster().Set("vip.address", address)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", address, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %q", address, err, want)
		}
	}
}

// TestVIPComesAndGoes: it is set, shown as a change that needs nothing, and removed.
func TestVIPComesAndGoes(t *testing.T) {
	c := DefaultCluster()
	with, err := c.Set("vip.address", "10.0.0.100/24")
	if err != nil {
		t.Fatal(err)
	}
	changes := Diff(c, with)
	if len(changes) != 1 || changes[0].Path != "vip.address" || changes[0].Effect != EffectNone {
		t.Errorf("changes %+v", changes)
	}
	if p := with.VIP.Prefix(); p.String() != "10.0.0.100/24" || c.VIP.Prefix().IsValid() {
		t.Errorf("prefix %v", p)
	}
	without, err := with.Set("vip.address", "")
	if err != nil || without.VIP != (VIP{}) || strings.Contains(string(without.YAML()), "vip") {
		t.Errorf("removed: %v, %+v", err, without.VIP)
	}
}

func TestMemberVIP(t *testing.T) {
	m, err := ParseMember([]byte(smallMember+"vip: {interface: eth0}\n"), "")
	if err != nil || m.Postgres.Listen != "*" {
		t.Errorf("with an interface PostgreSQL listens everywhere: %v, %q", err, m.Postgres.Listen)
	}
	for _, bad := range []string{"vip: {interface: eth0:1}", "vip: {interface: a/b}", "vip: {interface: abcdefghijklmnop}", "hooks_dir: hooks", "hooks_dir: /a/../b",
		"witness: true\nvip: {interface: eth0}", "witness: true\nhooks_dir: /etc/hooks"} {
		if _, err := ParseMember([]byte(smallMember+bad+"\n"), ""); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
