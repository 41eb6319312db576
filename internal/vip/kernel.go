package vip

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Kernel is the driver for addresses of the machine's own network namespace.
type Kernel struct{}

var _ Driver = Kernel{}

// listAttempts: the kernel breaks off a list of addresses that changes meanwhile.
const listAttempts = 5

// Has: see Driver.
func (Kernel) Has(ctx context.Context, a Address) (bool, error) {
	link, err := find(a.Interface)
	if link == nil {
		return false, err
	}
	have, err := addressOn(ctx, link, a)
	return have != nil, err
}

// Up: see Driver.
func (Kernel) Up(ctx context.Context, a Address) error {
	link, err := find(a.Interface)
	if err == nil && link == nil {
		err = errors.New("there is no such interface")
	}
	if err == nil && link.Attrs().Flags&net.FlagUp == 0 {
		err = errors.New("the interface is down")
	}
	if err == nil {
		err = add(ctx, link, a)
	}
	if err == nil {
		err = announce(link.Attrs(), a.Prefix.Addr())
	}
	if err != nil {
		return fmt.Errorf("putting up %s: %w", a, err)
	}
	return nil
}

// Down: see Driver.
func (Kernel) Down(ctx context.Context, a Address) error {
	link, err := find(a.Interface)
	if link == nil {
		return err
	}
	have, err := addressOn(ctx, link, a)
	if err == nil && have != nil {
		err = netlink.AddrDel(link, have)
	}
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("removing %s: %w", a, err)
	}
	return nil
}

// find gives nil for an interface that does not exist.
func find(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking at interface %s: %w", name, err)
	}
	return link, nil
}

// addressOn gives the kernel's entry of the address; nil when there is none. Addresses are compared
// as numbers: as text, 10.0.0.1 would be found in 110.0.0.1.
func addressOn(ctx context.Context, link netlink.Link, a Address) (*netlink.Addr, error) {
	family := netlink.FAMILY_V4
	if a.Prefix.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	var list []netlink.Addr
	for range listAttempts {
		err := ctx.Err()
		if err == nil {
			list, err = netlink.AddrList(link, family)
		}
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range list {
			if list[i].IPNet != nil && list[i].IP.Equal(a.Prefix.Addr().AsSlice()) {
				return &list[i], nil
			}
		}
		return nil, nil
	}
	return nil, errors.New("the list of addresses changes all the time")
}

func add(ctx context.Context, link netlink.Link, a Address) error {
	have, err := addressOn(ctx, link, a)
	if err != nil || have != nil {
		return err
	}
	ip := a.Prefix.Addr()
	entry := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(a.Prefix.Bits(), ip.BitLen())}}
	if ip.Is6() {
		// No detection of duplicates: it takes a second, and the old bearer, which may just be
		// frozen, would make the kernel give the address up. And deprecated from the beginning,
		// which means: it takes connections, but none of this machine's own begins from it.
		entry.Flags, entry.ValidLft, entry.PreferedLft = unix.IFA_F_NODAD, math.MaxUint32, 0
	}
	if err := netlink.AddrAdd(link, entry); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}
