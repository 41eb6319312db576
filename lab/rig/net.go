//go:build lab

package rig

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// The bridge's forward hook sees only what goes from host to host. The test itself sits on
// the bridge's own address, so no cut between hosts ever separates it from one: that is what
// lets every member be probed directly while the members cannot see each other.
const ruleset = `
table bridge %[1]s {
	set cut { type ifname . ifname; }
	set ports { type ifname . ifname . inet_service; }
	chain part {
		type filter hook forward priority 0; policy accept;
		iifname . oifname @cut drop
		iifname . oifname . tcp dport @ports drop
		iifname . oifname . tcp sport @ports drop
	}
	chain loss { type filter hook forward priority 1; policy accept; }
}
`

func (r *Rig) makeBridge() error {
	if err := r.chooseNet(); err != nil {
		return err
	}
	r.Gateway = r.addr(254)
	for _, args := range [][]string{
		{"link", "add", r.ID, "type", "bridge", "forward_delay", "0", "stp_state", "0"},
		{"addr", "add", r.Gateway + "/24", "dev", r.ID},
		{"link", "set", r.ID, "up"},
	} {
		if err := tool("ip", args...); err != nil {
			return err
		}
	}
	return toolIn(fmt.Sprintf(ruleset, r.ID), "nft", "-f", "-")
}

// chooseNet finds a /24 that no interface of the test's namespace has. Two labs that
// choose at once differ by their process IDs.
func (r *Rig) chooseNet() error {
	used := map[string]bool{}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			used[n.IP.Mask(net.CIDRMask(24, 32)).String()] = true
		}
	}
	for i := range 200 {
		n := os.Getpid()*7 + i
		r.net = [2]byte{byte(64 + n>>8&0x7f), byte(n)}
		if !used[r.addr(0)] {
			return nil
		}
	}
	return fmt.Errorf("no free network among 10.64.0.0 to 10.191.255.0")
}

func (r *Rig) removeBridge() {
	_ = tool("nft", "delete", "table", "bridge", r.ID)
	_ = tool("ip", "link", "del", r.ID)
}

func (r *Rig) nft(commands ...string) error {
	return toolIn(strings.Join(commands, "\n")+"\n", "nft", "-f", "-")
}

// CutOneWay drops everything that goes from one host to another; the way back stays open.
func (r *Rig) CutOneWay(from, to *Host) error {
	return r.nft(fmt.Sprintf("add element bridge %s cut { %q . %q }", r.ID, from.veth(), to.veth()))
}

// Cut drops everything between two hosts.
func (r *Rig) Cut(a, b *Host) error {
	if err := r.CutOneWay(a, b); err != nil {
		return err
	}
	return r.CutOneWay(b, a)
}

// Isolate cuts a host off from all others. The test still reaches it.
func (r *Rig) Isolate(h *Host) error { return r.eachOther(h, r.Cut) }

// IsolateIn lets nothing in from other hosts; what it sends arrives.
func (r *Rig) IsolateIn(h *Host) error {
	return r.eachOther(h, func(h, other *Host) error { return r.CutOneWay(other, h) })
}

// IsolateOut lets nothing out to other hosts; what they send arrives.
func (r *Rig) IsolateOut(h *Host) error { return r.eachOther(h, r.CutOneWay) }

func (r *Rig) eachOther(h *Host, do func(h, other *Host) error) error {
	for _, other := range r.Hosts {
		if other == h {
			continue
		}
		if err := do(h, other); err != nil {
			return err
		}
	}
	return nil
}

// CutPorts drops TCP to and from these ports between two hosts, whichever of them serves.
func (r *Rig) CutPorts(a, b *Host, ports ...int) error {
	for _, p := range ports {
		for _, pair := range [][2]*Host{{a, b}, {b, a}} {
			if err := r.nft(fmt.Sprintf("add element bridge %s ports { %q . %q . %d }", r.ID, pair[0].veth(), pair[1].veth(), p)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Lose drops that share of all packets between hosts, by chance. The rule names its hosts'
// interfaces: chains of the bridge family see the packets of every bridge, also of other labs.
func (r *Rig) Lose(percent int) error {
	return r.nft(fmt.Sprintf("add rule bridge %s loss iifname \"%s*\" numgen random mod 100 < %d drop", r.ID, r.ID, percent))
}

// HealNet removes every cut and loss.
func (r *Rig) HealNet() error {
	return r.nft(
		fmt.Sprintf("flush set bridge %s cut", r.ID),
		fmt.Sprintf("flush set bridge %s ports", r.ID),
		fmt.Sprintf("flush chain bridge %s loss", r.ID))
}
