package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// pgjdbc is where Debian's libpostgresql-jdbc-java puts it.
const pgjdbc = "/usr/share/java/postgresql.jar"

// jdbc asks by each URL, with pgjdbc.
func (c *cluster) jdbc(passfile, sql string, urls ...string) []string {
	c.t.Helper()
	_, err := os.Stat(pgjdbc)
	if _, java := exec.LookPath("javac"); java != nil || err != nil { // `java` compiles the program, which a JRE cannot
		c.t.Fatalf("%v: `make deps` installs libpostgresql-jdbc-java and a JDK", errors.Join(err, java))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args := []string{"-XX:TieredStopAtLevel=1", "-Dorg.postgresql.pgpassfile=" + passfile, "-cp", pgjdbc, "testdata/Ask.java", sql}
	out, err := exec.CommandContext(ctx, "java", append(args, urls...)...).Output()
	if err != nil {
		c.t.Fatalf("java: %v\n%s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// dsns are the strings that `pgherd dsn` prints, for writers and for readers, and how each is connected with.
type dsns struct {
	c            *cluster
	dir          string
	pass         string
	text         map[string]string // by format, and the format with "-ro"
	serviceNames map[string]string
}

// formats are in the order of their test.
var formats = []string{"uri", "service", "pgx", "jdbc"}

// dsnsOf prints all of them on m.
func (c *cluster) dsnsOf(m *member, role, database string, more ...string) *dsns {
	c.t.Helper()
	d := &dsns{c: c, dir: c.t.TempDir(), text: map[string]string{}, serviceNames: map[string]string{}}
	d.pass = filepath.Join(d.dir, "pgpass")
	if err := os.WriteFile(d.pass, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	args := append([]string{"dsn", "--user", role, "--database", database, "--sslrootcert", filepath.Join(m.dir, "pki", "ca.crt")}, more...)
	services := ""
	for _, format := range formats {
		for suffix, also := range map[string][]string{"": nil, "-ro": {"--read-only"}} {
			text := strings.TrimSpace(m.do(append(append(args, "--format", format), also...)...))
			if strings.Contains(text, password) {
				c.t.Errorf("a password is in it: %s", text)
			}
			d.text[format+suffix] = text
			if format == "service" {
				services += text + "\n\n"
				d.serviceNames[format+suffix] = strings.Trim(strings.SplitN(text, "\n", 2)[0], "[]")
			}
		}
	}
	if err := os.WriteFile(d.services(), []byte(services), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return d
}

func (d *dsns) services() string { return filepath.Join(d.dir, "pg_service.conf") }

// added is what an application puts behind the strings of libpq and pgx.
type added struct{ writers, readers string }

// ask gives the answers by every string, each in its driver.
func (d *dsns) ask(sql string, also added) map[string]string {
	d.c.t.Helper()
	got := map[string]string{}
	var urls, names []string
	for name, text := range d.text {
		format, readers := strings.CutSuffix(name, "-ro")
		more := also.writers
		if readers {
			more = also.readers
		}
		switch format {
		case "uri":
			if more != "" {
				text += "&" + more
			}
			got[name] = d.c.psqlWith([]string{"PGPASSFILE=" + d.pass}, text, "-c", sql)
		case "service":
			got[name] = d.c.psqlWith([]string{"PGPASSFILE=" + d.pass, "PGSERVICEFILE=" + d.services()}, "service="+d.serviceNames[name]+" "+more, "-c", sql)
		case "pgx":
			got[name] = askPgx(text+" passfile="+d.pass+" "+more, sql)
		case "jdbc":
			urls, names = append(urls, text), append(names, name)
		}
	}
	for i, line := range d.c.jdbc(d.pass, sql, urls...) {
		got[names[i]] = line
	}
	return got
}

func askPgx(session, sql string) (got string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, session)
	if err != nil {
		return "error: " + err.Error()
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, sql).Scan(&got); err != nil {
		return "error: " + err.Error()
	}
	return got
}

const whoAndWhere = "SELECT current_user || ' ' || current_database() || ' ' || host(inet_server_addr()) || ':' || inet_server_port() || ' ' || pg_is_in_recovery()"

// leadTo says that each of these strings leads writers to the primary and readers to one of the standbys.
func (d *dsns) leadTo(what, login string, also added, primary *member, standbys []*member) {
	d.c.t.Helper()
	got := d.ask(whoAndWhere, also)
	if len(got) != 2*len(formats) {
		d.c.t.Errorf("%s: answers %v", what, got)
	}
	answer := func(m *member, standby bool) string { return fmt.Sprintf("%s %s %v", login, m.at(m.pg), standby) }
	for name, text := range got {
		good := text == answer(primary, false)
		if strings.HasSuffix(name, "-ro") {
			good = slices.ContainsFunc(standbys, func(m *member) bool { return text == answer(m, true) })
		}
		if !good {
			d.c.t.Errorf("%s: %s by %s\n%s", what, text, name, d.text[name])
		}
	}
}

// endpointsByDSN: what `pgherd dsn --endpoints` prints is taken by every driver that is named there: with TLS verified in full, also
// when it is asked for a kind of server besides, and when the first host of the list is away.
func endpointsByDSN(t *testing.T, c *cluster) {
	p := c.waitHealthy()
	d := c.dsnsOf(p, "web", "shop", "--endpoints")
	for name, text := range d.text {
		for _, m := range c.members {
			port := m.rw
			if strings.HasSuffix(name, "-ro") {
				port = m.ro
			}
			if !strings.Contains(text, m.ip) || !strings.Contains(text, fmt.Sprint(port)) {
				t.Errorf("%s is not in %s: %s", m.name, name, text)
			}
		}
	}
	d.leadTo("all hosts", "web shop", added{}, p, c.others(p))
	d.leadTo("with target_session_attrs", "web shop", added{"target_session_attrs=read-write", "target_session_attrs=standby"}, p, c.others(p))

	away := c.members[0] // drivers begin with it, but those that spread readers
	away.signal(syscall.SIGTERM)
	away.waitEnd(60 * time.Second)
	c.wait(30*time.Second, "endpoints of the two that are left", func() bool {
		s := c.status()
		return s.primary() != "" && s.primary() != away.name && len(s.Endpoints) == 2 && !slices.ContainsFunc(s.Endpoints, func(e endpointStatus) bool {
			return e.Target != s.primary() || len(e.Readers) != 1 || e.Readers[0] == away.name
		})
	})
	p = c.get(c.status().primary())
	left := slices.DeleteFunc(c.others(p), func(m *member) bool { return m == away })
	d.leadTo("with the first host away", "web shop", added{}, p, left)
	away.start()
	c.waitHealthy()
}

// TestDSNConnects: what `pgherd dsn` prints for the members themselves is taken by every driver, verifies the server, and finds who is asked for.
func TestDSNConnects(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	d := c.dsnsOf(p, "app", "app")
	d.leadTo("all members", "app app", added{}, p, c.others(p))
	for name, text := range d.ask("SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()", added{}) {
		if text != "true" {
			t.Errorf("without TLS by %s: %s", name, text)
		}
	}
}
