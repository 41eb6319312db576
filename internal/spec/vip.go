package spec

import (
	"net/netip"
	"strings"
)

// VIP is the virtual address by which clients reach the primary. Empty: there is none.
type VIP struct {
	Address string `yaml:"address" json:"address,omitempty"` // with its prefix, such as 10.0.0.100/24
}

// Bearer says how a member bears the VIP. Without an interface it takes no part.
type Bearer struct {
	Interface string `yaml:"interface,omitempty"`
}

// Prefix is the address with its prefix; not valid when there is none.
func (v VIP) Prefix() netip.Prefix {
	prefix, _ := netip.ParsePrefix(v.Address)
	return prefix
}

func (v VIP) check(p *problems) {
	if v.Address == "" {
		return
	}
	const at = "vip.address"
	prefix, err := netip.ParsePrefix(v.Address)
	if err != nil {
		hint := ""
		if addr, err := netip.ParseAddr(v.Address); err == nil {
			hint = "add the length of its network's prefix, such as " + addr.String() + "/24"
		}
		p.add(at, hint, "%q: want an address with its prefix, such as 10.0.0.100/24", v.Address)
		return
	}
	addr, whole := prefix.Addr(), prefix.Bits() == prefix.Addr().BitLen()
	switch {
	case addr.Is4In6():
		p.add(at, "write "+addr.Unmap().String(), "%s is an IPv4 address in disguise", addr)
	case addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || prefix.Bits() == 0:
		p.add(at, "", "%s is no address that others can reach a member by", v.Address)
	case !whole && prefix.Bits() != addr.BitLen()-1 && prefix.Masked().Addr() == addr:
		p.add(at, "", "%s is a network, not an address in it", v.Address)
	}
}

func (v VIP) render(w *page) {
	if v.Address == "" {
		return
	}
	w.line(0, "vip:", "")
	w.pair(1, "address", v.Address, "borne by the primary, on members that name a vip.interface")
}

// check takes what the kernel takes as an interface's name, but for the colon of old aliases.
func (b Bearer) check(p *problems) {
	n := b.Interface
	if n == "" {
		return
	}
	if len(n) > 15 || n == "." || n == ".." || strings.ContainsAny(n, "/: \t") || !printable(n) {
		p.add("vip.interface", "", "%q is not the name of a network interface", n)
	}
}

func (b Bearer) render(w *page) {
	var body page
	body.optional(1, "interface", b.Interface, "bears the cluster's vip.address while this member is primary")
	w.section("vip", &body)
}
