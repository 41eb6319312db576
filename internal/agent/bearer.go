package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/privilege"
	"github.com/pgherd/pgherd/internal/vip"
	"github.com/pgherd/pgherd/internal/warden"
)

// bearer puts the cluster's virtual address where it belongs, as far as this member goes. It
// compares what should be with what the kernel has, again and again; what it has put up is
// written down before, so that a new agent knows, and nothing else is ever removed.
type bearer struct {
	driver vip.Driver
	iface  string // empty: this member takes no part any more, and only puts away what it had
	file   string // STATE_DIR/vip.json
	log    *slog.Logger
	guard  func(context.Context, *vip.Address) error // the warden's; see warden.Client.GuardVIP

	borne     *vip.Address // written down
	announced int          // how often since it was put up
	next      time.Time    // announcement
	unguarded error        // why the warden would leave the address at a fence
}

// wish is what should be.
type wish struct {
	stands  standing
	prefix  netip.Prefix // of the spec; not valid when there is none
	guarded *vip.Address // the warden's status
	members []core.MemberRecord
}

const vipFile = "vip.json"

// announcements: neighbours, or the switch between, may miss the first; later ones heal what was changed
// behind our back.
var announcements = []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second}

const announceEvery = 10 * time.Second

// openBearer gives nil when there is nothing to do here: no interface, and no address left over.
func openBearer(stateDir, iface string, log *slog.Logger) *bearer {
	b := &bearer{driver: vip.Kernel{}, iface: iface, file: filepath.Join(stateDir, vipFile), log: log}
	if data, err := os.ReadFile(b.file); err == nil {
		var a vip.Address
		if err := json.Unmarshal(data, &a); err != nil || !a.Prefix.IsValid() {
			log.Error("what address was put up cannot be read", "file", b.file, "error", err)
		} else {
			b.borne = &a
		}
	}
	if iface == "" && b.borne == nil {
		return nil
	}
	return b
}

// look makes things as they should be, one change at a time; changed: look again. The error is for a person,
// and the next look tries again.
func (b *bearer) look(ctx context.Context, w wish) (changed bool, err error) {
	if w.stands == standsUnknown {
		return false, cmp.Or(b.able(), b.unguarded)
	}
	target := b.target(w)
	if b.borne != nil && (target == nil || *target != *b.borne) {
		return true, b.away(ctx)
	}
	if target == nil {
		return false, cmp.Or(b.able(), b.stray(ctx, w.prefix))
	}
	for _, m := range w.members {
		if own, err := netip.ParseAddr(m.Address); err == nil && own == target.Prefix.Addr() {
			return false, fmt.Errorf("%s is the address of member %s: choose one that nobody has", own, m.Name)
		}
	}
	return b.bear(ctx, *target, w)
}

func (b *bearer) target(w wish) *vip.Address {
	if w.stands != standsPrimary || !w.prefix.IsValid() || b.iface == "" {
		return nil
	}
	return &vip.Address{Interface: b.iface, Prefix: w.prefix}
}

// able tells before it is needed what would fail.
func (b *bearer) able() error {
	if b.iface == "" {
		return nil
	}
	if m := privilege.Missing(); m != "" {
		return fmt.Errorf("pgherd has not %s, which the virtual address needs", m)
	}
	if _, err := net.InterfaceByName(b.iface); err != nil {
		return fmt.Errorf("vip.interface %s: %w", b.iface, err)
	}
	return nil
}

// stray: an address that was not put up by us is not ours to remove, but it answers for the primary.
func (b *bearer) stray(ctx context.Context, prefix netip.Prefix) error {
	if !prefix.IsValid() || b.iface == "" {
		return nil
	}
	a := vip.Address{Interface: b.iface, Prefix: prefix}
	if have, err := b.driver.Has(ctx, a); err != nil || !have {
		return err
	}
	return fmt.Errorf("%s is there and pgherd has not put it there: `ip address del %s dev %s`", a, a.Prefix, a.Interface)
}

// away removes what is borne. The warden lets go last: it is the one who does it if we are stopped in between.
func (b *bearer) away(ctx context.Context) error {
	a := *b.borne
	if err := b.driver.Down(ctx, a); err != nil {
		return err
	}
	if err := os.Remove(b.file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b.borne, b.announced, b.unguarded = nil, 0, nil
	b.log.Info("the virtual address is not here any more", "address", a.String())
	if err := b.guard(ctx, nil); err != nil && !errors.Is(err, warden.ErrUnsupported) {
		b.log.Info("the warden was not told", "error", err)
	}
	return nil
}

// bear writes down, hands to the warden, puts up and announces, in this order.
func (b *bearer) bear(ctx context.Context, a vip.Address, w wish) (changed bool, err error) {
	if b.borne == nil {
		if err := b.note(a); err != nil {
			return false, err
		}
	}
	if w.guarded == nil || *w.guarded != a {
		err := b.guard(ctx, &a)
		if errors.Is(err, warden.ErrNotRunning) {
			return false, nil // it has just ended: not primary any more
		}
		b.unguarded = err // the address is worth having all the same
	}
	have, err := b.driver.Has(ctx, a)
	if err != nil {
		return false, err
	}
	if have && time.Now().Before(b.next) {
		return false, b.unguarded
	}
	if err := b.able(); err != nil {
		return false, err
	}
	if err := b.driver.Up(ctx, a); err != nil {
		return false, err
	}
	if !have {
		b.announced = 0
		b.log.Info("the virtual address is here", "address", a.String())
	}
	pause := announceEvery
	if b.announced < len(announcements) {
		pause = announcements[b.announced]
	}
	b.announced, b.next = b.announced+1, time.Now().Add(pause)
	return true, nil // the deadline may have passed meanwhile
}

func (b *bearer) note(a vip.Address) error {
	data, err := json.Marshal(a)
	if err == nil {
		err = os.WriteFile(b.file+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(b.file+".new", b.file)
	}
	if err != nil {
		return fmt.Errorf("writing down the virtual address before it is put up: %w", err)
	}
	b.borne = &a
	return nil
}
