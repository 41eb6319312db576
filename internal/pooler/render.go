package pooler

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// defaults are what a zero in Settings means.
var defaults = Settings{Mode: "transaction", PoolSize: 20, MaxClients: 1000, QueryWait: 30 * time.Second}

func (s Settings) orDefaults() Settings {
	if s.Mode == "" {
		s.Mode = defaults.Mode
	}
	if s.PoolSize == 0 {
		s.PoolSize = defaults.PoolSize
	}
	if s.MaxClients == 0 {
		s.MaxClients = defaults.MaxClients
	}
	if s.QueryWait == 0 {
		s.QueryWait = defaults.QueryWait
	}
	return s
}

// check refuses what would be another line, or another parameter, in the file: it knows no quotes.
func (c Config) check() error {
	if c.Settings.Mode != "" && c.Settings.Mode != "transaction" && c.Settings.Mode != "session" {
		return fmt.Errorf("pooler: mode is %q; it must be transaction or session", c.Settings.Mode)
	}
	for name, path := range map[string]string{"directory": c.Dir, "certificate": c.CertFile, "key": c.KeyFile, "CA": c.CAFile} {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, "\x00\r\n \t'") {
			return fmt.Errorf("pooler: the path of the %s is %q; it must be absolute, without spaces and quotes", name, path)
		}
	}
	for name, text := range map[string]string{"lookup role": c.AuthUser, "lookup database": c.AuthDB, "lookup query": c.AuthQuery} {
		if text == "" || strings.ContainsAny(text, "\x00\r\n") {
			return fmt.Errorf("pooler: %s is %q", name, text)
		}
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 1 || n > 65535 || host == "" || !plain(host) && host != "*" {
		return fmt.Errorf("pooler: listen is %q; it must be host:port", c.Listen)
	}
	if len(c.socket()) > 107 {
		return fmt.Errorf("pooler: %s is too long for a socket's name; use a shorter directory", c.Dir)
	}
	return nil
}

// plain tells whether a host may stand in the file: no list, no socket, no second parameter.
func plain(host string) bool {
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:", r))
	})
}

func (c Config) port() string {
	_, port, _ := net.SplitHostPort(c.Listen)
	return port
}

func (c Config) host() string {
	host, _, _ := net.SplitHostPort(c.Listen)
	return host
}

func (c Config) path(name string) string { return filepath.Join(c.Dir, name) }

// socket is named by PgBouncer, after its port.
func (c Config) socket() string { return c.path(".s.PGSQL." + c.port()) }

// Files in Config.Dir.
const (
	iniFile   = "pgbouncer.ini"
	pidFile   = "pgbouncer.pid"
	logFile   = "pgbouncer.log"
	startFile = "start.log" // what it says before it has a log
)

// route renders where clients are sent. PgBouncer knows one port for a list of hosts: see usable.
// Without targets it is a socket that nobody will ever listen on; clients are held then.
func (c Config) route(targets []Target) string {
	if len(targets) == 0 {
		return "host=" + c.path("nowhere") + " port=1"
	}
	var hosts []string
	for _, t := range targets {
		hosts = append(hosts, t.Host)
	}
	return fmt.Sprintf("host=%s port=%d", strings.Join(hosts, ","), targets[0].Port)
}

// written reads the targets back from the file that route is a part of; none when it has none, or is not
// there.
func (c Config) written() (targets []Target) {
	text, err := os.ReadFile(c.path(iniFile))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		var hosts string
		var port int
		if n, _ := fmt.Sscanf(line, "* = host=%s port=%d", &hosts, &port); n != 2 || strings.HasPrefix(hosts, "/") {
			continue
		}
		for host := range strings.SplitSeq(hosts, ",") {
			targets = append(targets, Target{host, port})
		}
	}
	return targets
}

// render writes pgbouncer.ini whole. No secret is in it.
func (c Config) render(targets []Target) []byte {
	s := c.Settings.orDefaults()
	var b bytes.Buffer
	b.WriteString("; This file belongs to pgherd: it is written whole, and changes by hand are lost.\n\n[databases]\n")
	fmt.Fprintf(&b, "* = %s\n\n[pgbouncer]\n", c.route(targets))
	set := func(name string, value any) { fmt.Fprintf(&b, "%s = %v\n", name, value) }
	set("listen_addr", c.host())
	set("listen_port", c.port())
	set("listen_backlog", 1024)
	// The console: for this OS user, over a socket that nobody else can reach.
	set("unix_socket_dir", c.Dir)
	set("unix_socket_mode", "0600")
	set("pidfile", c.path(pidFile))
	set("logfile", c.path(logFile))
	set("log_connections", 0)
	set("log_disconnections", 0)
	set("log_stats", 0)
	c.renderSecurity(set)
	c.renderPools(set, s)
	renderNetwork(set)
	return b.Bytes()
}

// renderSecurity: TLS on both sides. A client's SCRAM secret is looked up, checked against, and
// serves to log in for the client: no password is known here.
func (c Config) renderSecurity(set func(string, any)) {
	set("client_tls_sslmode", "require")
	set("client_tls_cert_file", c.CertFile)
	set("client_tls_key_file", c.KeyFile)
	// No client is asked for a certificate. Without this PgBouncer reads the system's hundred and more authorities at each
	// RELOAD, which takes it 20 ms and a whole processor, while clients are held: with it, half a millisecond.
	set("client_tls_ca_file", c.CAFile)
	set("server_tls_sslmode", "verify-ca")
	set("server_tls_ca_file", c.CAFile)
	set("server_tls_cert_file", c.CertFile)
	set("server_tls_key_file", c.KeyFile)
	set("auth_type", "scram-sha-256")
	set("auth_user", c.AuthUser)
	set("auth_dbname", c.AuthDB)
	set("auth_query", c.AuthQuery)
}

func (c Config) renderPools(set func(string, any), s Settings) {
	set("pool_mode", s.Mode)
	set("default_pool_size", s.PoolSize)
	set("max_client_conn", s.MaxClients)
	set("max_db_connections", s.MaxServers)
	set("max_prepared_statements", 200)
	set("query_wait_timeout", seconds(s.QueryWait))
	set("ignore_startup_parameters", "extra_float_digits") // JDBC sends it; it changes only how numbers are printed
	if s.Mode == "session" {
		set("server_fast_close", 1) // or a session would stay with a former target for as long as its client likes
	}
	if c.ReadOnly {
		set("server_round_robin", 1) // by default the last one used is used again, and the load gathers on few
		set("server_lifetime", 300)  // a target that is new gets its share of new connections only
	}
}

// renderNetwork: what decides how long a dead server is felt.
func renderNetwork(set func(string, any)) {
	set("server_login_retry", "0.1") // PgBouncer's own is 15 s, in which all wait for a server that is long there
	set("server_connect_timeout", 2)
	set("server_check_delay", 5)
	set("tcp_keepalive", 1)
	set("tcp_keepidle", 5)
	set("tcp_keepintvl", 2)
	set("tcp_keepcnt", 3)
	set("tcp_user_timeout", 4000) // ms; else data to a host without power is repeated for minutes
	set("dns_max_ttl", 1)
	set("dns_nxdomain_ttl", 1)
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// usable gives the targets in a fixed order, each once. Of different ports those of the most
// frequent are kept: a list of hosts has one port in PgBouncer.
func usable(targets []Target) []Target {
	out := slices.Clone(targets)
	slices.SortFunc(out, func(a, b Target) int { return strings.Compare(a.String(), b.String()) })
	out = slices.Compact(out)
	count := map[int]int{}
	best := 0
	for _, t := range out {
		count[t.Port]++
		if best == 0 || count[t.Port] > count[best] {
			best = t.Port
		}
	}
	return slices.DeleteFunc(out, func(t Target) bool { return t.Port != best })
}

func checkTargets(targets []Target) error {
	for _, t := range targets {
		if !plain(t.Host) || t.Port < 1 || t.Port > 65535 {
			return fmt.Errorf("pooler: %s is no address of a server", t)
		}
	}
	return nil
}
