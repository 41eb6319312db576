package vip

import (
	"context"
	"fmt"
	"net/netip"
)

// Address is one virtual address on one interface of this machine.
type Address struct {
	Interface string       `json:"interface"`
	Prefix    netip.Prefix `json:"prefix"` // the address with its network's length, 10.0.0.100/24
}

// String gives "10.0.0.100/24 on eth0".
func (a Address) String() string { return fmt.Sprintf("%s on %s", a.Prefix, a.Interface) }

// Driver puts addresses where they belong. A call returns when the machine has done it; ctx
// is looked at before each step, a step itself is a system call that cannot be broken off.
type Driver interface {
	// Has says whether the interface has the address, with whatever prefix. An interface that does not
	// exist has none.
	Has(ctx context.Context, a Address) (bool, error)
	// Up adds the address where it is missing, and announces it in any case: repeated, it
	// heals neighbours that missed the first.
	Up(ctx context.Context, a Address) error
	// Down removes the address. That it is not there is no error.
	Down(ctx context.Context, a Address) error
}
