package integration

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/cli"
)

// marked are the secrets that TestSecretsStaySecret gives a cluster.
type marked struct {
	*search
	first, second, pooler *member
	viewer, operator      string // access tokens, whole
}

// TestSecretsStaySecret feeds secrets through a cluster, each of another kind, and looks for them in all that comes out: what
// commands say, what the API answers to viewers and operators, metrics, streams, logs, journals, the store, command lines and
// environments of all processes, and every file. Each must be found in its own place, or the search was blind.
func TestSecretsStaySecret(t *testing.T) {
	c := newCluster(t)
	m := &marked{search: newSearch(c)}
	for _, part := range []struct {
		name string
		run  func()
	}{
		{"a cluster is made", m.found}, {"people are let in", m.letIn}, {"it is configured", m.configure}, {"it works", m.work},
		{"commands", m.commands}, {"answers", m.answers}, {"the store", m.storeHolds}, {"files", m.files}, {"processes", m.end},
	} {
		began := time.Now()
		part.run()
		t.Logf("%s: %.1f s", part.name, time.Since(began).Seconds())
	}
}

// found makes a cluster of two with endpoints, and a host that only pools. The token files stay, as careless people leave them.
func (m *marked) found() {
	c := m.c
	for i := range 2 {
		n := c.add()
		n.ip, n.rw, n.ro = "127.0.0."+itoa(i+2), c.free(), c.free()
	}
	m.first, m.second = c.members[0], c.members[1]
	m.second.pg = m.first.pg // PgBouncer spreads over hosts, not over ports
	m.says("init", c.pgherd(append([]string{"init"}, m.first.setupArgs("--pg-listen", m.first.ip)...)...))
	m.add("a key", "PRIVATE KEY", `^(n\d|app1)/pki/.+\.key$`, `^viewer/look\.key$`)
	m.first.start()
	m.first.waitState("running")
	c.appRole(m.first) // with it the tests look
	m.first.do("log-level", "debug")

	file := m.second.tokenFrom(m.first)
	m.addFile("a member's join token", file, "n2.token")
	m.says("join", m.second.tryJoin(m.first, file, "--pg-listen", m.second.ip))
	m.ownParameters(m.second)
	m.second.start()
	c.waitHealthy()
	again := c.pgherd(append([]string{"join", m.first.apiAt(), "--token-file", file}, c.add().setupArgs()...)...)
	c.members = c.members[:2]
	refused(c.t.(*testing.T), "a token that was used", again, 3, "used")
	m.clean("what a refused join says", again.stdout+again.stderr)

	m.pooler = c.addPoolerHost("app1", "127.0.0.9")
	file = m.pooler.tokenFrom(m.first, "--pooler")
	m.addFile("a pooler's join token", file, "app1.token")
	m.says("pooler join", m.pooler.tryPoolerJoin(m.first, file))
	m.pooler.start()
}

// letIn gives a person two tokens, Prometheus a key, and an application a password.
func (m *marked) letIn() {
	c := m.c
	keep := func(name, text string) {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text+"\n"), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	m.viewer = strings.TrimSpace(m.first.do("access", "create", "vera", "--role", "viewer"))
	m.operator = strings.TrimSpace(m.second.do("access", "create", "otto", "--role", "operator"))
	keep("viewer.token", m.viewer)
	keep("operator.token", m.operator)
	m.addFile("a viewer's access token", filepath.Join(c.dir, "viewer.token"), "viewer.token")
	m.addFile("an operator's access token", filepath.Join(c.dir, "operator.token"), "operator.token")
	// Somebody else's secret, by a slip of the hand.
	wrong, _, _ := strings.Cut(m.viewer, ".")
	wrong += "." + strings.Repeat("w", 20) + strings.Repeat("A", 44)
	keep("wrong.token", wrong)
	m.addFile("a token that was mistyped", filepath.Join(c.dir, "wrong.token"), "wrong.token")
	if status, text := m.ask(m.bearer(wrong), m.first, "/v1/status"); status != 401 {
		c.t.Errorf("a wrong token is answered %d: %s", status, text)
	}

	dir := filepath.Join(c.dir, "viewer")
	if err := os.Mkdir(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	m.says("viewer create", m.first.try("viewer", "create", "look", "--dir", dir))

	password := "Pw-" + rand.Text()
	keep("web.pgpass", password)
	m.add("an application's password", password, `^web\.pgpass$`)
	m.first.psql("SET log_statement = none; SET log_min_error_statement = panic; CREATE ROLE web LOGIN PASSWORD '" + password + "'; CREATE DATABASE shop OWNER web; CHECKPOINT")
	verifier := m.first.psql("SELECT split_part(rolpassword, '$', 3) FROM pg_authid WHERE rolname = 'web'")
	m.add("its verifier, which the endpoints look up", verifier, `^n\d/data/`)
	m.pooler.waitPooling()
	for _, at := range []*member{m.first, m.second, m.pooler} {
		for _, word := range []string{password, "Wrong-" + password[5:]} {
			login(at, word)
		}
	}
}

// login comes through an endpoint; whether it is let in is another test's matter.
func login(at *member, password string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if conn, err := pgx.Connect(ctx, "postgresql://web:"+url.QueryEscape(password)+"@"+at.at(at.rw)+"/shop?sslmode=require&connect_timeout=5"); err == nil {
		_ = conn.Close(ctx)
	}
}

// ownParameters gives a member a command with a key in it, as people do who archive to somebody's cloud. It is not run: PostgreSQL would
// give it to a shell, and so show it in a command line.
func (m *marked) ownParameters(of *member) {
	const name = "a key in a member's own parameters"
	key := m.text(name)
	if key == "" {
		key = "Key-" + rand.Text()
		m.add(name, key, `^n\d\.yaml$`, `^n\d/data/pgherd\.conf$`, `^n\d/good-parameters\.json$`, `^n\d/postgres\.log$`)
	}
	text, err := os.ReadFile(of.config)
	section := "\npostgres:\n"
	if err != nil || strings.Count(string(text), section) != 1 {
		m.c.t.Fatalf("%v: %s", err, text)
	}
	own := "  parameters:\n    archive_command: put --key " + key + " %p\n    acme.vault: " + key + "\n"
	changed := strings.Replace(string(text), section, section+own, 1)
	if err := os.WriteFile(of.config, []byte(changed), 0o600); err == nil {
		err = os.Chmod(of.config, 0o600) // with a key in it, it is no file for everybody
	}
	if err == nil {
		err = os.Chown(of.config, owner.uid, owner.gid)
	}
	if err != nil {
		m.c.t.Fatal(err)
	}
}

// configure changes what runs: a member's own parameters come with its next agent, the spec's over the network.
func (m *marked) configure() {
	c := m.c
	m.ownParameters(m.first)
	m.first.kill("agent")
	m.first.waitEnd(5 * time.Second)
	m.first.start()
	for _, n := range c.members {
		c.wait(30*time.Second, "its own parameter at "+n.name, func() bool {
			v, err := c.query(n, "SELECT current_setting('acme.vault', true)")
			return err == nil && v == m.text("a key in a member's own parameters")
		})
		n.do("log-level", "debug")
		c.wait(20*time.Second, "good parameters of "+n.name, func() bool {
			_, err := os.Stat(filepath.Join(n.dir, "good-parameters.json"))
			return err == nil
		})
	}
	local := api.Local(api.SocketPath(m.first.dir))
	defer local.Close()
	put := func(parameter string) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		d, err := local.Spec(ctx)
		if err != nil {
			c.t.Fatal(err)
		}
		text := strings.Replace(d.YAML, "\n  parameters:\n", "\n  parameters:\n    "+parameter+"\n", 1)
		if text == d.YAML {
			c.t.Fatalf("no place for %s in\n%s", parameter, text)
		}
		_, err = local.PutSpec(ctx, api.SpecChange{Revision: d.Revision, YAML: text}, false)
		return err
	}
	// A command does not come over the network, and what was asked for in vain is in no log.
	file, key := filepath.Join(c.dir, "refused.yaml"), "Key-"+rand.Text()
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		c.t.Fatal(err)
	}
	m.add("a key in a spec that is refused", key, `^refused\.yaml$`)
	if err := put("restore_command: get --key " + key); err == nil || !strings.Contains(err.Error(), "restore_command") || strings.Contains(err.Error(), key) {
		c.t.Errorf("a command over the network: %v", err)
	}
	// What may come is its owner's business, too: members have it in their own files, PostgreSQL tells it to its log.
	ident := "Ident-" + rand.Text()
	m.add(specValue, ident, `^n\d/`, `^n\d\.log$`)
	if err := put("syslog_ident: " + ident); err != nil {
		c.t.Fatal(err)
	}
	c.waitSetting(20*time.Second, "syslog_ident", ident, c.members...)
}

const specValue = "a parameter of the spec, which is for admins"

// work has everybody do something, so that there is something to tell.
func (m *marked) work() {
	c := m.c
	viewer := m.bearer(m.viewer)
	defer m.follow(viewer, m.second, api.LivePath, "event: status", "event: event\n", "switchover")()
	defer m.follow(viewer, m.second, api.WatchPath, "event: snapshot", "event: primary")()
	for _, args := range [][]string{{"pause"}, {"resume"}, {"drain", m.second.name}, {"undrain", m.second.name}} {
		m.says(args[0], m.first.try(args...))
	}
	p := c.waitSync()
	m.says("switchover", p.try("switchover", "--json"))
	c.waitSync()
	m.pooler.waitPooling()
	for _, at := range []*member{m.first, m.second, m.pooler} {
		login(at, m.text("an application's password"))
	}
	c.wait(10*time.Second, "rows in the journal", func() bool { return len(m.first.events()) > 3 })
}

// looking are the commands that only tell. All ask through the socket of root and the agent's user, or read their files.
var looking = []string{
	"status", "members", "events --limit 2000", "explain", "explain --if each", "forks", "dsn", "dsn --endpoints", "wait --for healthy",
	"access list", "config show", "log-level", "version", "recover", "replay --all JOURNAL", "outcome ID",
}

// showingSpec: who may change the spec must see it, and a decision about a parameter cannot be made again without its value. Neither has
// the members' own commands.
var showingSpec = []string{"config show", "replay --all JOURNAL"}

// acting are all others; some are among what was done before. top needs a terminal, and shows what the streams say.
const acting = " init join run top switchover failover restart reinit remove drain undrain cancel pause resume demo token:create viewer:create" +
	" access:create access:revoke pooler:run pooler:join pooler:admit pooler:remove config:set config:edit forks:show forks:remove "

func (m *marked) commands() {
	for _, line := range looking {
		for _, how := range []string{"", " --json"} {
			for _, n := range m.c.members {
				args := strings.Fields(strings.NewReplacer("JOURNAL", filepath.Join(n.dir, "journal", "journal.jsonl"), "ID", m.operation()).Replace(line + how))
				a := n.try(args...)
				if a.stdout == "" || a.code != 0 && line != "recover" {
					m.c.t.Errorf("%s on %s: %s", line, n.name, a)
				}
				var may []string
				if slices.Contains(showingSpec, line) {
					may = []string{specValue}
				}
				m.clean("`pgherd "+line+how+"`", a.stdout+a.stderr, may...)
			}
		}
	}
	known := acting
	for _, line := range looking {
		words := strings.Fields(line)
		known += " " + words[0] + " " + strings.Join(words[:min(2, len(words))], ":") + " "
	}
	var each func(*cobra.Command, string)
	each = func(cmd *cobra.Command, path string) {
		if !cmd.HasSubCommands() && !cmd.Hidden && cmd.Name() != "help" && cmd.Parent().Name() != "completion" && !strings.Contains(known, " "+path+" ") {
			m.c.t.Errorf("nobody has said whether `pgherd %s` only tells: it is to be looked at here", path)
		}
		for _, sub := range cmd.Commands() {
			each(sub, strings.TrimPrefix(path+":"+sub.Name(), ":"))
		}
	}
	each(cli.Commands(), "")
}

// says takes what a command said that must succeed.
func (m *marked) says(what string, a answer) {
	m.c.t.Helper()
	if a.code != 0 {
		m.c.t.Fatalf("%s: %s", what, a)
	}
	m.clean("`pgherd "+what+"`", a.stdout+a.stderr)
}

// storeHolds: of a token the store has what it takes to check it, and no more.
func (m *marked) storeHolds() {
	values := m.storeValues()
	for _, token := range []string{m.viewer, m.operator} {
		id, _, _ := strings.Cut(token, ".")
		if !slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, `"id":"`+id) && strings.Contains(v, `"hash":"`) }) {
			m.c.t.Errorf("the store has no record of the token %s: the search is blind", id)
		}
	}
	if !slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, m.text(specValue)) }) {
		m.c.t.Error("the store does not have the spec's parameter: the search is blind")
	}
	m.clean("the store", strings.Join(values, "\n"), specValue)
}
