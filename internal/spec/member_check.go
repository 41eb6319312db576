package spec

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PostgreSQL's socket is DIR/.s.PGSQL.PORT and the kernel takes 107 bytes; some
// room is left for temporary names.
const socketDirBytesMax = 103 - len("/.s.PGSQL.65535")

func (m Member) check(p *problems) {
	p.addErr("name", CheckName(m.Name))
	p.addErr("address", CheckHost(m.Address))
	p.absolute("state_dir", m.StateDir, true)
	m.checkListen(p)
	m.checkStore(p)
	m.checkTags(p)
	p.absolute("pooler.bin", m.Pooler.Bin, false)
	m.Log.check(p)
	if m.Witness {
		m.checkWitness(p)
		return
	}
	m.checkPostgres(p)
	m.Watchdog.check(p)
	m.VIP.check(p)
	p.absolute("hooks_dir", m.HooksDir, false)
}

// check leaves to the warden what depends on the lease's timing, which the cluster's spec may
// change at any time.
func (w Watchdog) check(p *problems) {
	if !slices.Contains([]WatchdogMode{WatchdogOff, WatchdogAutomatic, WatchdogRequired}, w.Mode) {
		p.add("watchdog.mode", "", "%q: want off, automatic or required", w.Mode)
	}
	p.absolute("watchdog.device", w.Device, true)
	if d := w.Timeout.D(); d < 0 || d > 5*time.Minute || d%time.Second != 0 {
		p.add("watchdog.timeout", "leave it out: the longest that the lease bears is chosen", "%s: want whole seconds up to 5m", d)
	}
}

func (m Member) checkListen(p *problems) {
	taken := map[string]string{}
	if !m.Witness {
		taken[strconv.Itoa(m.Postgres.Port)] = "postgres.port"
	}
	for _, l := range []struct{ key, value string }{
		{"listen.api", m.Listen.API}, {"listen.peer", m.Listen.Peer}, {"listen.store", m.Listen.Store},
		{"listen.rw", m.Listen.RW}, {"listen.ro", m.Listen.RO},
	} {
		if l.value == "" && (l.key == "listen.rw" || l.key == "listen.ro") {
			continue
		}
		port := p.hostPort(l.key, l.value)
		if other := taken[port]; port != "" && other != "" {
			p.add(l.key, "", "port %s is also that of %s", port, other)
		}
		taken[port] = l.key
	}
	if (m.Listen.RW == "") != (m.Listen.RO == "") {
		p.add("listen", "write both, or none for a member without endpoints", "rw and ro come together")
	}
}

// hostPort checks HOST:PORT to listen on and gives the port, or "" when it is wrong.
func (p *problems) hostPort(key, value string) (port string) {
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		p.add(key, "write HOST:PORT, such as 0.0.0.0:7432", "%q is not an address to listen on", value)
		return ""
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		p.add(key, "", "port %q: want 1 to 65535", port)
		return ""
	}
	if addr, err := netip.ParseAddr(host); host != "" && (err != nil || !addr.IsUnspecified()) {
		p.addErr(key, CheckHost(host))
	}
	return port
}

func (p *problems) absolute(key, path string, required bool) {
	switch {
	case path == "" && required:
		p.add(key, "", "is missing")
	case path == "":
	case !filepath.IsAbs(path):
		p.add(key, "write the whole path, from /", "%q is not absolute", path)
	case filepath.Clean(path) != path:
		p.add(key, "write "+filepath.Clean(path), "%q has parts that mean nothing", path)
	case path == "/":
		p.add(key, "", "is the root directory")
	case !printable(path):
		p.add(key, "", "the path holds a control character or broken UTF-8")
	}
}

func (m Member) checkPostgres(p *problems) {
	pg := m.Postgres
	p.absolute("postgres.bin_dir", pg.BinDir, false)
	p.absolute("postgres.wal_dir", pg.WalDir, false)
	if m.StateDir != "" { // without it the defaults of these two are missing as well
		p.absolute("postgres.data_dir", pg.DataDir, true)
		p.absolute("postgres.socket_dir", pg.SocketDir, true)
	}
	if pg.Port < 1 || pg.Port > 65535 {
		p.add("postgres.port", "", "%d: want 1 to 65535", pg.Port)
	}
	if len(pg.SocketDir) > socketDirBytesMax {
		p.add("postgres.socket_dir", "choose a shorter path", "%d bytes are too long for a socket's directory (%d)", len(pg.SocketDir), socketDirBytesMax)
	}
	m.checkPlaces(p)
	for host := range strings.SplitSeq(pg.Listen, ",") {
		host = strings.TrimSpace(host)
		if addr, err := netip.ParseAddr(host); host != "*" && host != "" && (err != nil || !addr.IsUnspecified()) {
			p.addErr("postgres.listen", CheckHost(host))
		}
	}
	p.checkParameters("postgres.parameters", pg.Parameters, FromMember)
}

// checkPlaces: the data directory is renamed aside before a clone, and must take
// nothing with it that is not its own.
func (m Member) checkPlaces(p *problems) {
	pg := m.Postgres
	for _, in := range []struct{ key, name, path string }{
		{"state_dir", "state_dir", m.StateDir},
		{"postgres.wal_dir", "wal_dir", pg.WalDir},
		{"postgres.socket_dir", "socket_dir", pg.SocketDir},
	} {
		if within(in.path, pg.DataDir) {
			p.add(in.key, "", "%s lies in postgres.data_dir (%s), which a clone replaces", in.name, pg.DataDir)
		}
	}
	if within(pg.DataDir, pg.WalDir) && pg.DataDir != pg.WalDir {
		p.add("postgres.data_dir", "", "lies in postgres.wal_dir (%s), which a clone replaces", pg.WalDir)
	}
	if own := filepath.Join(m.StateDir, "pki"); m.StateDir != "" && within(pg.DataDir, own) {
		p.add("postgres.data_dir", "", "%s is for pgherd's keys", own)
	}
}

// within says whether path is dir or below it.
func within(path, dir string) bool {
	return path != "" && dir != "" && (path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/"))
}

func (m Member) checkWitness(p *problems) {
	pg := m.Postgres
	if pg.BinDir != "" || pg.DataDir != "" || pg.WalDir != "" || pg.SocketDir != "" || pg.Port != 0 || pg.Listen != "" || len(pg.Parameters) > 0 {
		p.add("postgres", "remove the section, or witness: true", "a witness runs no PostgreSQL")
	}
	if m.Watchdog != (Watchdog{}) {
		p.add("watchdog", "remove the section, or witness: true", "a witness has nothing to fence")
	}
	if m.VIP != (Bearer{}) {
		p.add("vip", "remove the section, or witness: true", "a witness never leads")
	}
	if m.HooksDir != "" {
		p.add("hooks_dir", "remove it, or witness: true", "a witness has no role that changes")
	}
	if len(m.Store.Endpoints) > 0 {
		p.add("witness", "", "a witness votes in the embedded store, and with store.endpoints there is none")
	}
}

func (m Member) checkStore(p *problems) {
	s := m.Store
	if len(s.Endpoints) == 0 && (s.Prefix != "" || s.CAFile != "" || s.CertFile != "" || s.KeyFile != "") {
		p.add("store", "", "without store.endpoints the embedded store is used, which takes no settings")
		return
	}
	for _, e := range s.Endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || u.User != nil || strings.TrimPrefix(e, "https://") != u.Host {
			p.add("store.endpoints", "write https://HOST:PORT", "%q is not an endpoint", e)
			continue
		}
		p.addErr("store.endpoints", CheckHost(u.Hostname()))
	}
	if s.Prefix != "" && (!strings.HasPrefix(s.Prefix, "/") || len(s.Prefix) < 2 || strings.HasSuffix(s.Prefix, "/")) {
		p.add("store.prefix", "", "%q: want a name such as %s", s.Prefix, DefaultStorePrefix)
	}
	p.absolute("store.ca_file", s.CAFile, false)
	p.absolute("store.cert_file", s.CertFile, false)
	p.absolute("store.key_file", s.KeyFile, false)
	if (s.CertFile == "") != (s.KeyFile == "") {
		p.add("store", "", "cert_file and key_file come together")
	}
}

func (m Member) checkTags(p *problems) {
	if len(m.Tags.Zone) > 63 || !printable(m.Tags.Zone) {
		p.add("tags.zone", "", "want up to 63 printable characters")
	}
	if m.Tags.Priority < -1000 || m.Tags.Priority > 1000 {
		p.add("tags.priority", "", "%d: want -1000 to 1000", m.Tags.Priority)
	}
}
