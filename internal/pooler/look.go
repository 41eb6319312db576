package pooler

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"
)

// State implements Pooler.
func (p *PgBouncer) State(ctx context.Context) (State, error) {
	s := State{Targets: p.targetsNow()}
	c, err := dial(ctx, p.cfg.socket())
	if errors.Is(err, ErrNotRunning) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer c.Close()
	s.Running, s.PID = true, c.pid
	if s.Version, err = c.version(ctx); err != nil {
		return s, err
	}
	if s.Paused, err = c.paused(ctx); err != nil {
		return s, err
	}
	pools, err := c.pools(ctx)
	if err != nil {
		return s, err
	}
	s.Clients, s.Waiting, s.Active = pools.clients, pools.waiting, pools.active
	s.Servers, err = c.servers(ctx)
	return s, err
}

func (c *console) version(ctx context.Context) (Version, error) {
	found, err := c.command(ctx, "SHOW VERSION")
	if err != nil {
		return Version{}, err
	}
	for i := range found {
		if v, ok := parseVersion(found[i]["version"]); ok {
			return v, nil
		}
	}
	return Version{}, &consoleError{"SHOW VERSION", "no version in the answer"}
}

// paused is about the pause of all databases; pgherd uses no other.
func (c *console) paused(ctx context.Context) (bool, error) {
	found, err := c.command(ctx, "SHOW STATE")
	for i := range found {
		if found[i]["key"] == "paused" {
			return found[i]["value"] == "yes", err
		}
	}
	return false, err
}

// poolSums is SHOW POOLS, added up without the console's own.
type poolSums struct {
	clients, waiting int
	active           int // server connections that a PAUSE waits for
	logins           int // server connections that are being made
}

func (c *console) pools(ctx context.Context) (sum poolSums, err error) {
	found, err := c.command(ctx, "SHOW POOLS")
	for i := range found {
		if found[i]["database"] == "pgbouncer" {
			continue
		}
		sum.waiting += found.number(i, "cl_waiting")
		sum.clients += found.number(i, "cl_active") + found.number(i, "cl_waiting")
		sum.active += found.number(i, "sv_active") + found.number(i, "sv_tested")
		sum.logins += found.number(i, "sv_login")
	}
	return sum, err
}

// socketTime is how PgBouncer prints times.
const socketTime = "2006-01-02 15:04:05 MST"

func (c *console) servers(ctx context.Context) (servers []Server, err error) {
	links, err := c.links(ctx)
	for _, l := range links {
		servers = append(servers, l.Server)
	}
	return servers, err
}

// link is a server connection, with its client's number for KILL_CLIENT; 0: none, or the version
// has no numbers.
type link struct {
	Server
	client uint64
}

func (c *console) links(ctx context.Context) (links []link, err error) {
	servers, err := c.command(ctx, "SHOW SERVERS")
	if err != nil {
		return nil, err
	}
	clients, err := c.command(ctx, "SHOW CLIENTS")
	if err != nil {
		return nil, err
	}
	byPointer := map[string]int{}
	for i := range clients {
		byPointer[clients[i]["ptr"]] = i
	}
	for i, row := range servers {
		l := link{Server: Server{Target: Target{row["addr"], servers.number(i, "port")}, Database: row["database"], User: row["user"],
			RemotePID: servers.number(i, "remote_pid"), Active: row["link"] != ""}}
		l.Since, _ = time.ParseInLocation(socketTime, row["request_time"], time.Local)
		if k, ok := byPointer[row["link"]]; ok && l.Active {
			l.Client = net.JoinHostPort(clients[k]["addr"], clients[k]["port"])
			l.client, _ = strconv.ParseUint(clients[k]["id"], 10, 64)
		}
		links = append(links, l)
	}
	return links, nil
}
