package pooler

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrPortInUse says that Config.Listen is another program's.
var ErrPortInUse = errors.New("the port is in use: end that program or choose another port for the pooler")

// PgBouncer is the Pooler that runs PgBouncer.
type PgBouncer struct {
	cfg Config
	log *slog.Logger

	changing sync.Mutex // held by Ensure, Route and Stop: what writes files or makes processes

	mu      sync.Mutex
	targets []Target
	read    [sha256.Size]byte // fingerprint of what the process is known to have read
}

var _ Pooler = (*PgBouncer)(nil)

// New prepares an endpoint; nothing runs yet.
func New(cfg Config) (*PgBouncer, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	p := &PgBouncer{cfg: cfg, log: cfg.Log}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p, nil
}

// targetsNow are those that the process was told last: by this owner, or by the one before, in the file.
func (p *PgBouncer) targetsNow() []Target {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.read == [sha256.Size]byte{} {
		return p.cfg.written()
	}
	return slices.Clone(p.targets)
}

// Ensure implements Pooler.
func (p *PgBouncer) Ensure(ctx context.Context, targets []Target) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	if err := p.cfg.makeDir(); err != nil {
		return err
	}
	p.cfg.trimLog()
	c, err := dial(ctx, p.cfg.socket())
	if err == nil {
		defer c.Close()
		return p.adopt(ctx, c, targets)
	}
	if !errors.Is(err, ErrNotRunning) {
		return err
	}
	return p.begin(ctx, targets)
}

// adopt takes over a process that runs. What cannot be changed in it, its address, is what it was
// started with: another one is another process.
func (p *PgBouncer) adopt(ctx context.Context, c *console, targets []Target) error {
	config, err := c.command(ctx, "SHOW CONFIG")
	if err != nil {
		return err
	}
	for i := range config {
		if config[i]["key"] == "listen_addr" && config[i]["value"] != p.cfg.host() {
			p.log.Warn("PgBouncer is started anew: it has another address", "address", config[i]["value"], "wanted", p.cfg.host())
			if err := p.stop(ctx, c); err != nil {
				return err
			}
			return p.begin(ctx, targets)
		}
	}
	p.moreFiles(c.pid)
	if err := p.hold(ctx, c, targets); err != nil {
		return err
	}
	return p.apply(ctx, c, targets)
}

// begin starts a process.
func (p *PgBouncer) begin(ctx context.Context, targets []Target) error {
	text, err := p.wanted(targets)
	if err != nil {
		return err
	}
	sum, err := p.cfg.fingerprint(text)
	if err != nil {
		return err
	}
	if err := p.cfg.writeINI(text); err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	p.has(targets, sum)
	c, err := dial(ctx, p.cfg.socket())
	if err != nil {
		return err
	}
	defer c.Close()
	return p.hold(ctx, c, targets)
}

// hold holds clients when there is nowhere to send them.
func (p *PgBouncer) hold(ctx context.Context, c *console, targets []Target) error {
	if len(targets) > 0 {
		return nil
	}
	if paused, err := c.paused(ctx); err != nil || paused {
		return err
	}
	return p.Hold(ctx)
}

func (p *PgBouncer) wanted(targets []Target) ([]byte, error) {
	if err := checkTargets(targets); err != nil {
		return nil, err
	}
	if left := len(targets) - len(usable(targets)); left > 0 {
		p.log.Warn("not all targets are used: those of one PgBouncer must have the same port", "left out", left)
	}
	return p.cfg.render(usable(targets)), nil
}

func (p *PgBouncer) has(targets []Target, sum [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets, p.read = usable(targets), sum
}

// Route implements Pooler.
func (p *PgBouncer) Route(ctx context.Context, targets []Target) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	c, err := dial(ctx, p.cfg.socket())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := p.hold(ctx, c, targets); err != nil {
		return err
	}
	return p.apply(ctx, c, targets)
}

// apply makes the process read its files, if there is something new in them. RELOAD marks each
// connection to a former target: it is used no more, and ends at its release.
func (p *PgBouncer) apply(ctx context.Context, c *console, targets []Target) error {
	text, err := p.wanted(targets)
	if err != nil {
		return err
	}
	sum, err := p.cfg.fingerprint(text)
	if err != nil {
		return err
	}
	p.mu.Lock()
	same := p.read == sum
	p.mu.Unlock()
	if same {
		return nil
	}
	if err := p.cfg.writeINI(text); err != nil {
		return err
	}
	err = c.quiet(ctx)
	if err == nil {
		_, err = c.command(ctx, "RELOAD") // pools are as wide again as the file says
	}
	if err != nil {
		p.widenAnyway()
		return err
	}
	p.has(targets, sum)
	return nil
}

// Stop implements Pooler.
func (p *PgBouncer) Stop(ctx context.Context) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	c, err := dial(ctx, p.cfg.socket())
	if errors.Is(err, ErrNotRunning) {
		return p.clear(ctx)
	}
	if err != nil { // it listens and does not answer
		if err := p.clear(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		return nil
	}
	defer c.Close()
	return p.stop(ctx, c)
}

// stop ends the process at once; when it does not by the time that ctx leaves, by force.
func (p *PgBouncer) stop(ctx context.Context, c *console) error {
	fd, err := unix.PidfdOpen(c.pid, 0)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("PgBouncer (process %d): %w", c.pid, err)
	}
	defer unix.Close(fd)
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if c.send(short, "SHUTDOWN") == nil && awaitEnd(short, fd) == nil { // its answer is the end of the session
		return nil
	}
	return end(context.WithoutCancel(ctx), c.pid)
}
