package client

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	connectLimit = 2 * time.Second // for one address, unless the DSN says otherwise
	queryLimit   = time.Second     // for a primary to say that it is one
)

// host is one address, with the ways to connect to it (sslmode=prefer has two).
type host struct {
	name string
	port uint16
	ways []*pgconn.FallbackConfig
}

// hostsOf lists the addresses of a DSN in its order, each once.
func hostsOf(c *pgx.ConnConfig) (list []host) {
	ways := append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	at := map[string]int{}
	for _, w := range ways {
		key := net.JoinHostPort(w.Host, strconv.Itoa(int(w.Port)))
		i, ok := at[key]
		if !ok {
			i = len(list)
			at[key] = i
			list = append(list, host{name: w.Host, port: w.Port})
		}
		list[i].ways = append(list[i].ways, w)
	}
	return list
}

// only makes c a configuration for this host.
func (h host) only(c *pgx.ConnConfig) {
	c.Host, c.Port, c.TLSConfig, c.Fallbacks = h.name, h.port, h.ways[0].TLSConfig, h.ways[1:]
	c.ValidateConnect = nil
}

// sighting is what a member said of itself.
type sighting struct {
	host     host
	writable bool
	timeline uint32 // of a member that accepts writes
	started  string // the postmaster's start: an identity
	systemID string
}

func (s sighting) target() Target { return Target{s.host.name, s.host.port, s.timeline} }

// The name of a WAL file begins with the timeline; every role may ask for it.
const sightingSQL = `SELECT pg_is_in_recovery()::text, extract(epoch FROM pg_postmaster_start_time())::text,
 CASE WHEN pg_is_in_recovery() THEN '0' ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END,
 (SELECT system_identifier::text FROM pg_control_system())`

// look asks a member what it is.
func look(ctx context.Context, h host, conn *pgconn.PgConn) (s sighting, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	results, err := conn.Exec(ctx, sightingSQL).ReadAll()
	if err != nil {
		return s, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return s, fmt.Errorf("client: %s gave no answer", h.name)
	}
	row := results[0].Rows[0]
	timeline, err := strconv.ParseUint(string(row[2]), 16, 32)
	if err != nil {
		return s, fmt.Errorf("client: the timeline of %s: %w", h.name, err)
	}
	return sighting{host: h, writable: string(row[0]) == "false", started: string(row[1]), timeline: uint32(timeline), systemID: string(row[3])}, nil
}

// seat is a connection of our own to a member, for looking.
type seat struct {
	host host
	conn *pgx.Conn
}

func (p *Pool) sit(ctx context.Context, h host) (*seat, error) {
	c := p.base.ConnConfig.Copy()
	h.only(c)
	c.Tracer = nil
	c.RuntimeParams["application_name"] = "pgherd client"
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	return &seat{h, conn}, nil
}

func (s *seat) look(ctx context.Context) (sighting, error) { return look(ctx, s.host, s.conn.PgConn()) }

func (s *seat) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = s.conn.Close(ctx)
}
