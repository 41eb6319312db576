package spec

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Member names become parts of file names, DNS names, certificate subjects,
// slot names (with _ for -) and synchronous_standby_names. The narrow alphabet is
// what needs quoting in none of them.
var memberName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// One label or several; a trailing dot, wildcards and underscores are out because
// X.509 host name checks disagree about them.
var dnsName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)

// CheckName says what is wrong with a member's name, or nil.
func CheckName(name string) error {
	if memberName.MatchString(name) {
		return nil
	}
	if name == "" {
		return fmt.Errorf("the name is empty")
	}
	return fmt.Errorf("name %q: want 1 to 32 of a-z 0-9 -, beginning with a letter", name)
}

// SlotPrefix marks the slots that are pgherd's to create and drop.
const SlotPrefix = "pgherd_"

// SlotName is the slot of a member: its name with what slots may not contain replaced.
func SlotName(member string) string { return SlotPrefix + strings.ReplaceAll(member, "-", "_") }

// CheckHost says what is wrong with a host name or IP address (without a port), or nil.
func CheckHost(host string) error {
	if host == "" {
		return fmt.Errorf("the host is empty")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return checkReachable(host, addr)
	}
	if looksNumeric(host) || len(host) > 253 || !dnsName.MatchString(host) {
		return fmt.Errorf("%q is neither an IP address nor a host name", host)
	}
	return nil
}

// checkReachable refuses addresses that no other machine can dial as written.
func checkReachable(host string, addr netip.Addr) error {
	switch {
	case addr.IsUnspecified():
		return fmt.Errorf("%q is every address and none: others cannot dial it", host)
	case addr.IsMulticast():
		return fmt.Errorf("%q is a multicast address", host)
	case addr.Zone() != "":
		return fmt.Errorf("%q has a zone, which means nothing on another machine", host)
	}
	return nil
}

// looksNumeric catches mistyped IPv4 addresses (10.0.0.256), which would pass as host names.
func looksNumeric(host string) bool {
	return strings.Trim(host, "0123456789.") == ""
}

// printable text survives YAML, JSON and PostgreSQL's files unchanged.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
