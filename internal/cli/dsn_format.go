package cli

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// dsnTarget is a request with its answer.
type dsnTarget struct {
	dsnRequest
	cluster string
	hosts   []dsnHost
}

type dsnHost struct {
	address string
	port    int
}

// setting is one parameter; their order is kept, because people read them.
type setting struct{ name, value string }

var dsnFormats = map[string]func(dsnTarget) string{
	"uri":     func(d dsnTarget) string { return "postgresql://" + d.authority() + query(d.libpq()) },
	"pgx":     keywords,
	"jdbc":    jdbc,
	"service": service,
}

// How long a driver waits for one address. Behind a pooler a login may be held while the primary
// moves, so that giving up early would only fail what was about to succeed.
const (
	connectSeconds       = 2
	connectPoolerSeconds = 15
)

func (d dsnTarget) connectTimeout() setting {
	n := connectSeconds
	if d.endpoints {
		n = connectPoolerSeconds
	}
	return setting{"connect_timeout", strconv.Itoa(n)}
}

// session says which member is wanted. A pooler has chosen already.
func (d dsnTarget) session() []setting {
	switch {
	case d.endpoints:
		return nil
	case d.readOnly:
		return []setting{{"target_session_attrs", "prefer-standby"}}
	}
	return []setting{{"target_session_attrs", "read-write"}}
}

// tls: the certificates of members have their addresses, so that all of it can be verified.
func (d dsnTarget) tls() []setting {
	return []setting{{"sslmode", "verify-full"}, {"sslrootcert", d.rootCert}}
}

// keywords is for pgx: it knows fewer settings, and would send what it does not know to the server. Its URLs cannot have several
// addresses of IPv6: so it is the form with keywords, which it takes as well.
func keywords(d dsnTarget) string {
	var words []string
	for _, s := range slices.Concat(d.where(), d.session(), []setting{d.connectTimeout()}, d.tls()) {
		if s.value != "" {
			words = append(words, s.name+"="+quoteWord(s.value))
		}
	}
	return strings.Join(words, " ")
}

// quoteWord quotes a value of a connection string where it must be.
func quoteWord(value string) string {
	if !strings.ContainsAny(value, ` '\=`) {
		return value
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// where is the address and the name.
func (d dsnTarget) where() []setting {
	var hosts, ports []string
	for _, h := range d.hosts {
		hosts, ports = append(hosts, h.address), append(ports, strconv.Itoa(h.port))
	}
	return []setting{{"host", strings.Join(hosts, ",")}, {"port", strings.Join(ports, ",")}, {"dbname", d.database}, {"user", d.user}}
}

// libpq notices a host that went without a word in some 5 s, rather than after hours.
func (d dsnTarget) libpq() []setting {
	silent := []setting{d.connectTimeout(), {"tcp_user_timeout", "5000"}, {"keepalives_idle", "5"}, {"keepalives_interval", "2"}, {"keepalives_count", "3"}}
	return append(append(d.session(), silent...), d.tls()...)
}

// jdbc: pgjdbc remembers for 10 s who was what, which is longer than a failover takes.
func jdbc(d dsnTarget) string {
	var list []setting
	if d.user != "" {
		list = append(list, setting{"user", d.user})
	}
	switch {
	case d.endpoints && d.readOnly:
		list = append(list, setting{"loadBalanceHosts", "true"})
	case d.endpoints:
	case d.readOnly:
		list = append(list, setting{"targetServerType", "preferSecondary"}, setting{"loadBalanceHosts", "true"}, setting{"hostRecheckSeconds", "1"})
	default:
		list = append(list, setting{"targetServerType", "primary"}, setting{"hostRecheckSeconds", "1"})
	}
	list = append(list, setting{"connectTimeout", d.connectTimeout().value}, setting{"tcpKeepAlive", "true"})
	return "jdbc:postgresql://" + d.addresses() + "/" + escape(d.database) + query(append(list, d.tls()...))
}

// service is a section of libpq's pg_service.conf.
func service(d dsnTarget) string {
	name := d.cluster
	if d.readOnly {
		name += "_ro"
	}
	lines := []string{"[" + name + "]"}
	for _, s := range append(d.where(), d.libpq()...) {
		if s.value != "" {
			lines = append(lines, s.name+"="+s.value)
		}
	}
	return strings.Join(lines, "\n")
}

// authority is "user@host:port,host:port/database".
func (d dsnTarget) authority() string {
	user := ""
	if d.user != "" {
		user = escape(d.user) + "@"
	}
	return user + d.addresses() + "/" + escape(d.database)
}

func (d dsnTarget) addresses() string {
	list := make([]string, len(d.hosts))
	for i, h := range d.hosts {
		list[i] = net.JoinHostPort(h.address, strconv.Itoa(h.port))
	}
	return strings.Join(list, ",")
}

func query(list []setting) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = fmt.Sprintf("%s=%s", s.name, strings.ReplaceAll(escape(s.value), "%2F", "/"))
	}
	return "?" + strings.Join(parts, "&")
}

// escape writes a space as %20: libpq takes a plus for a plus.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
