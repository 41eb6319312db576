package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The frames are written by hand: they are 42 and 86 bytes that never change, and a packet
// socket sends both in the same way.

const (
	ethernetBytes = 14
	arpBytes      = 28
	arpRequest    = 1
	arpReply      = 2
	ipv6Bytes     = 40
	adverBytes    = 32  // ICMPv6 neighbour advertisement with the link-layer address
	adverType     = 136 // RFC 4861, 4.4
	adverOverride = 0x20
	icmpv6        = 58
)

var (
	broadcast    = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodesMAC  = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	allNodesAddr = netip.MustParseAddr("ff02::1")
)

// announce tells the neighbours on the link that the address is here now. Interfaces without
// link-layer addresses have nobody to tell.
func announce(link *netlink.LinkAttrs, ip netip.Addr) error {
	if len(link.HardwareAddr) != 6 || link.Flags&net.FlagLoopback != 0 || link.RawFlags&unix.IFF_NOARP != 0 {
		return nil
	}
	frames, protocol, to := [][]byte{neighbourAdvertisement(link.HardwareAddr, ip)}, uint16(unix.ETH_P_IPV6), allNodesMAC
	if ip.Is4() {
		// Both kinds: some neighbours learn from requests only, some from replies only.
		frames = [][]byte{gratuitousARP(link.HardwareAddr, ip, arpRequest), gratuitousARP(link.HardwareAddr, ip, arpReply)}
		protocol, to = unix.ETH_P_ARP, broadcast
	}
	return send(link.Index, protocol, to, frames)
}

// send puts whole Ethernet frames on the wire.
func send(index int, protocol uint16, to net.HardwareAddr, frames [][]byte) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: it receives nothing
	if err != nil {
		return fmt.Errorf("announcing: a packet socket: %w", err)
	}
	defer unix.Close(fd)
	at := &unix.SockaddrLinklayer{Protocol: binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, protocol)), Ifindex: index, Halen: 6}
	copy(at.Addr[:], to)
	var errs []error
	for _, f := range frames {
		errs = append(errs, unix.Sendto(fd, f, 0, at))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("announcing: %w", err)
	}
	return nil
}

func ethernet(to, from net.HardwareAddr, protocol uint16, room int) []byte {
	b := make([]byte, 0, ethernetBytes+room)
	b = append(append(b, to...), from...)
	return binary.BigEndian.AppendUint16(b, protocol)
}

// gratuitousARP says "ip is at mac" to everybody (RFC 5227, 2.3): sender and target are the same
// address. In a reply the target's link-layer address is the sender's too.
func gratuitousARP(mac net.HardwareAddr, ip netip.Addr, operation uint16) []byte {
	b := ethernet(broadcast, mac, unix.ETH_P_ARP, arpBytes)
	b = append(b, 0, 1, 0x08, 0, 6, 4) // Ethernet, IPv4, lengths of their addresses
	b = binary.BigEndian.AppendUint16(b, operation)
	b = append(append(b, mac...), ip.AsSlice()...)
	target := net.HardwareAddr{0, 0, 0, 0, 0, 0}
	if operation == arpReply {
		target = mac
	}
	return append(append(b, target...), ip.AsSlice()...)
}

// neighbourAdvertisement is the same for IPv6: unsolicited, with the override flag, to all
// nodes of the link (RFC 4861, 7.2.6).
func neighbourAdvertisement(mac net.HardwareAddr, ip netip.Addr) []byte {
	message := make([]byte, 8, adverBytes)
	message[0], message[4] = adverType, adverOverride
	message = append(message, ip.AsSlice()...)
	message = append(append(message, 2, 1), mac...) // option: target's link-layer address, in units of 8 bytes
	binary.BigEndian.PutUint16(message[2:], checksum(ip, allNodesAddr, message))

	b := ethernet(allNodesMAC, mac, unix.ETH_P_IPV6, ipv6Bytes+adverBytes)
	b = append(b, 0x60, 0, 0, 0, 0, adverBytes, icmpv6, 255) // a hop limit of 255 proves that it comes from this link
	b = append(append(b, ip.AsSlice()...), allNodesAddr.AsSlice()...)
	return append(b, message...)
}

// checksum is ICMPv6's over pseudo header and message, both of even length.
func checksum(from, to netip.Addr, message []byte) uint16 {
	pseudo := append(append(from.AsSlice(), to.AsSlice()...), 0, 0, 0, byte(len(message)), 0, 0, 0, icmpv6)
	sum := uint32(0)
	for _, part := range [][]byte{pseudo, message} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
