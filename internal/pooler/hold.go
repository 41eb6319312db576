package pooler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// quietWait is for how long a login to a server may keep a PAUSE or a RELOAD waiting.
const quietWait = 50 * time.Millisecond

// quiet waits, for a little, until no server connection is being made, and lets no pool that has one
// make more. PAUSE and RELOAD cut one that is, and PgBouncer takes that for a server that refuses:
// until a login has succeeded, each client of that pool that has something new to say is
// dropped. Pools stay narrow until a RELOAD or widen.
func (c *console) quiet(ctx context.Context) error {
	if _, err := c.command(ctx, "SET default_pool_size = 1"); err != nil {
		return err
	}
	deadline := time.Now().Add(quietWait)
	for {
		sum, err := c.pools(ctx)
		if err != nil || sum.logins == 0 || time.Now().After(deadline) {
			return err
		}
		if err := sleep(ctx, quietPause); err != nil {
			return err
		}
	}
}

const quietPause = 500 * time.Microsecond

func (p *PgBouncer) widen() string {
	return fmt.Sprintf("SET default_pool_size = %d", p.cfg.Settings.orDefaults().PoolSize)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errNoKillClient = errors.New("PgBouncer cannot end single clients before version 1.24")

// alreadyPaused stands in the refusal of a second PAUSE, in all versions.
const alreadyPaused = "already "

// Pause implements Pooler.
func (p *PgBouncer) Pause(ctx context.Context) error {
	c, err := dial(ctx, p.cfg.socket()) // of its own: see console
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.quiet(ctx)
	if err == nil {
		err = p.pause(ctx, c)
	} else {
		p.widenAnyway()
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("PgBouncer: transactions are still open: %w", err)
	}
	return err
}

// pause says in one breath PAUSE, and that pools are as wide as before: nothing comes between, and
// none grows in a pause. The answer to PAUSE comes last, unless it is a refusal.
func (p *PgBouncer) pause(ctx context.Context, c *console) error {
	if err := c.send(ctx, "PAUSE", p.widen()); err != nil {
		return err
	}
	_, refused := c.answer(ctx, "PAUSE")
	if refused != nil && !answered(refused, alreadyPaused) {
		return refused
	}
	if _, err := c.answer(ctx, "PAUSE"); err != nil || refused == nil {
		return err
	}
	return c.drained(ctx)
}

// widenAnyway is for when ctx has ended between.
func (p *PgBouncer) widenAnyway() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := dial(ctx, p.cfg.socket())
	if err != nil {
		return // the next owner's RELOAD does it
	}
	defer c.Close()
	if _, err := c.command(ctx, p.widen()); err != nil {
		p.log.Warn("pools stay narrow", "err", err)
	}
}

// drained waits until no server connection is in use, in a pause that began before.
func (c *console) drained(ctx context.Context) error {
	for {
		sum, err := c.pools(ctx)
		if err != nil || sum.active == 0 {
			return err
		}
		if err := sleep(ctx, lookPause); err != nil {
			return err
		}
	}
}

// Hold implements Pooler. Each answer that is waited for is a moment in which clients are dropped, if a server has died: PAUSE
// goes out with the login. Its answer may take long, that to the question behind it does not. The session
// is closed then: the pause stays.
func (p *PgBouncer) Hold(ctx context.Context) error {
	c, err := dial(ctx, p.cfg.socket(), "PAUSE")
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		paused, err := c.paused(ctx)
		if paused || err != nil && !answered(err, alreadyPaused) {
			return err
		}
		// That was PAUSE's own answer, and the other is still to come; asking once more does no harm.
	}
}

// Resume implements Pooler.
func (p *PgBouncer) Resume(ctx context.Context) error {
	c, err := dial(ctx, p.cfg.socket())
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.command(ctx, "RESUME")
	if answered(err, "not paused") {
		return nil
	}
	return err
}

// DropStale implements Pooler.
func (p *PgBouncer) DropStale(ctx context.Context, keep []Target) (clients int, err error) {
	addresses, err := resolve(ctx, keep)
	if err != nil {
		return 0, err
	}
	clients, err = p.drop(ctx, func(s Server) bool { return !slices.Contains(addresses, s.Target) })
	if errors.Is(err, errNoKillClient) { // they end when the system gives the connection up: tcp_user_timeout
		return 0, nil
	}
	return clients, err
}

// DropActive implements Pooler.
func (p *PgBouncer) DropActive(ctx context.Context) (clients int, err error) {
	return p.drop(ctx, func(Server) bool { return true })
}

// drop ends the clients of the server connections in use that fit. The connection ends with its client:
// its transaction is open.
func (p *PgBouncer) drop(ctx context.Context, fits func(Server) bool) (clients int, err error) {
	c, err := dial(ctx, p.cfg.socket())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	v, err := c.version(ctx)
	if err != nil {
		return 0, err
	}
	links, err := c.links(ctx)
	if err != nil {
		return 0, err
	}
	links = slices.DeleteFunc(links, func(l link) bool { return !l.Active || !fits(l.Server) })
	if len(links) > 0 && !v.AtLeast(1, killClientMinor) {
		return 0, fmt.Errorf("PgBouncer %s: %w", v, errNoKillClient)
	}
	for _, l := range links {
		_, err := c.command(ctx, fmt.Sprintf("KILL_CLIENT %d", l.client))
		switch {
		case err == nil:
			clients++
		case !answered(err, "client not found"): // it has gone by itself
			return clients, err
		}
	}
	return clients, nil
}

// resolve turns names into addresses: PgBouncer tells those.
func resolve(ctx context.Context, targets []Target) (out []Target, err error) {
	for _, t := range targets {
		if net.ParseIP(t.Host) != nil {
			out = append(out, t)
			continue
		}
		addresses, err := net.DefaultResolver.LookupHost(ctx, t.Host)
		if err != nil {
			return nil, fmt.Errorf("pooler: %w", err)
		}
		for _, a := range addresses {
			out = append(out, Target{a, t.Port})
		}
	}
	return out, nil
}
