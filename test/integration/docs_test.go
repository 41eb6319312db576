package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/test/docs"
	"github.com/pgherd/pgherd/test/ports"
)

// docsRunMin is how many are run at least: a recogniser that has gone blind finds nothing wrong.
const docsRunMin = 90

// typed is a command of the pages that is run here, in the order of docsTyped.
type typed struct {
	command string           // as a page has it
	as      string           // what is run for it, where putting real things for the reader's does not do
	on      string           // the member on which it is typed; n1
	code    int              // its exit code
	says    string           // what its answer has to contain
	before  func(d *docsRun) // what the page expects to be so
	after   func(d *docsRun) // what must be so now
}

// docsRun is somebody who types what the pages say.
type docsRun struct {
	c       *cluster
	n1      *member
	stands  map[string]string // for what the pages call the reader's own
	fresh   *member           // the place of a member that is made
	led     *member           // before a move
	servers map[string]int    // PIDs, before a restart
}

// TestDocsCommandsRun: every command in README.md and docs/ is run on a cluster, or is listed with the reason why not and with the
// test that runs it. Both lists are held to the pages' text, both ways.
func TestDocsCommandsRun(t *testing.T) {
	shown := docsShown(t)
	run := map[string]bool{}
	for _, one := range docsTyped {
		if run[one.command] {
			t.Errorf("%q is run twice", one.command)
		}
		run[one.command] = true
	}
	docsHeldToThePages(t, shown, run)
	if len(run) < docsRunMin {
		t.Errorf("only %d commands are run, want %d", len(run), docsRunMin)
	}
	t.Logf("%d commands: %d are run here, %d elsewhere or nowhere", len(shown), len(run), len(docsElsewhere))
	if t.Failed() {
		return // before a cluster is made
	}
	c := newCluster(t)
	c.upWithEndpoints(3)
	d := newDocsRun(c)
	for _, one := range docsTyped {
		d.types(one)
	}
}

// docsShown are all commands of the pages, each once, with the page that has it.
func docsShown(t *testing.T) map[string]string {
	t.Helper()
	pages, err := docs.Pages()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range docs.Commands(string(text)) {
			shown["pgherd "+command] = filepath.Base(page)
		}
		for _, line := range docs.Lines(string(text)) {
			shown[line] = filepath.Base(page)
		}
	}
	return shown
}

func docsHeldToThePages(t *testing.T, shown map[string]string, run map[string]bool) {
	t.Helper()
	tests, err := docs.Tests()
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range slices.Sorted(maps.Keys(shown)) {
		if _, listed := docsElsewhere[command]; run[command] == listed {
			t.Errorf("%s: %q has to be either run here or listed with a reason; run %v, listed %v", shown[command], command, run[command], listed)
		}
	}
	for command := range run {
		if shown[command] == "" {
			t.Errorf("%q is run, and on no page", command)
		}
	}
	for command, one := range docsElsewhere {
		switch {
		case shown[command] == "":
			t.Errorf("%q is listed, and on no page", command)
		case one.why == docsNamed:
			if !slices.ContainsFunc(slices.Collect(maps.Keys(run)), func(r string) bool { return strings.HasPrefix(r, command+" ") }) {
				t.Errorf("%q: no longer form of it is run", command)
			}
		case one.why == "":
			t.Errorf("%q is listed without a reason", command)
		}
		name, part, _ := strings.Cut(one.test, "/")
		if name != "" && !strings.Contains(tests, "\nfunc "+name+"(t *testing.T)") || part != "" && !strings.Contains(tests, strconv.Quote(part)) {
			t.Errorf("%q: there is no test %s", command, one.test)
		}
	}
}

func newDocsRun(c *cluster) *docsRun {
	c.t.Helper()
	d := &docsRun{c: c, n1: c.members[0]}
	tomorrow := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	d.stands = map[string]string{
		"/root/": c.dir + "/", "/etc/prometheus/": c.dir + "/prometheus/", "/etc/ssl/pgherd-ca.crt": d.n1.dir + "/pki/ca.crt", "/var/lib/pgherd": d.n1.dir,
		"2026-12-01T03:00:00Z": tomorrow, "--at TIME": "--at " + tomorrow,
	}
	if err := os.Symlink(exe, filepath.Join(c.dir, "pgherd")); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "schema.sql"), []byte("CREATE TABLE of_the_docs (id int);\n"), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return d
}

// address is one of the pages' hosts, such as 10.0.0.1:7432.
var address = regexp.MustCompile(`10\.0\.0\.([1-9])(:7432)?\b`)

// real puts what there is for what the pages call the reader's.
func (d *docsRun) real(command string) string {
	for _, of := range slices.SortedFunc(maps.Keys(d.stands), func(a, b string) int { return len(b) - len(a) }) {
		command = strings.ReplaceAll(command, of, d.stands[of])
	}
	return address.ReplaceAllStringFunc(command, func(found string) string {
		part := address.FindStringSubmatch(found)
		host, _ := strconv.Atoi(part[1])
		ip := "127.0.0." + strconv.Itoa(host+1)
		if part[2] != "" {
			return ip + ":" + strconv.Itoa(d.n1.api)
		}
		return ip
	})
}

func (d *docsRun) types(one typed) {
	d.c.t.Helper()
	began := time.Now()
	if one.before != nil {
		one.before(d)
	}
	line, m := one.command, d.n1
	if one.as != "" {
		line = one.as
	}
	if one.on != "" {
		m = d.c.get(one.on)
	}
	ready := time.Now()
	a := d.shell(m, d.real(line))
	took := time.Since(ready)
	if a.code != one.code || !strings.Contains(a.stdout+a.stderr, one.says) {
		d.c.t.Fatalf("%s\nwas run as %s; want exit code %d and %q: %s", one.command, d.real(line), one.code, one.says, a)
	}
	if one.after != nil {
		one.after(d)
	}
	d.c.t.Logf("%5.1f s of %5.1f s  %s", took.Seconds(), time.Since(began).Seconds(), one.command)
}

// shell runs a line as a person on the member's host would, whose psql goes to the database shop through the member's endpoint.
func (d *docsRun) shell(m *member, line string) answer {
	d.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", line)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = d.c.dir, &stdout, &stderr, time.Second
	cmd.Env = append(os.Environ(), "PATH="+d.c.dir+":"+os.Getenv("PATH"), "PGHERD_CONFIG="+m.config,
		"PGHOST="+m.ip, "PGPORT="+strconv.Itoa(m.rw), "PGUSER=web", "PGPASSWORD="+password, "PGDATABASE=shop", "PGSSLMODE=require")
	_ = cmd.Run()
	if ctx.Err() != nil {
		d.c.t.Fatalf("%s did not end", line)
	}
	return answer{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// firstOf is another program's line of a page, without which the next one does not do.
func firstOf(page, line string) func(*docsRun) {
	return func(d *docsRun) {
		d.c.t.Helper()
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil || !strings.Contains(string(text), line+"\n") {
			d.c.t.Fatalf("%s has no line %q: %v", page, line, err)
		}
		if a := d.shell(d.n1, d.real(line)); a.code != 0 {
			d.c.t.Fatalf("%s: %s", line, a)
		}
	}
}

// calm waits until nothing is on its way any more.
func calm(d *docsRun) { d.c.t.Helper(); d.c.waitRouted() }

// leadsNot has somebody else lead, so that the command has something to move or to leave alone.
func leadsNot(name string) func(*docsRun) {
	return func(d *docsRun) {
		d.c.t.Helper()
		if p := d.c.waitRouted(); p.name == name {
			p.do("switchover")
			d.c.waitRouted()
		}
	}
}

// isLed proves that a move came to its end.
func isLed(name string) func(*docsRun) {
	return func(d *docsRun) {
		d.c.t.Helper()
		if p := d.c.waitRouted(); p.name != name {
			d.c.t.Fatalf("%s leads, not %s", p.name, name)
		}
	}
}

// notesPrimary is for otherPrimary and samePrimary. Where nobody is named, anybody else is right.
func (d *docsRun) notesPrimary() { d.c.t.Helper(); d.led = d.c.waitRouted() }

func (d *docsRun) otherPrimary() {
	d.c.t.Helper()
	was := d.led
	d.c.wait(60*time.Second, "another primary than "+was.name, func() bool {
		d.led = d.c.get(d.c.status().primary())
		return d.led != nil && d.led != was
	})
}

func (d *docsRun) samePrimary() {
	d.c.t.Helper()
	if now := d.c.waitRouted(); now != d.led {
		d.c.t.Fatalf("%s leads, and no more %s", now.name, d.led.name)
	}
}

// drained: how many members are.
func drained(n int) func(*docsRun) {
	return func(d *docsRun) {
		d.c.t.Helper()
		d.c.wait(20*time.Second, strconv.Itoa(n)+" drained members", func() bool {
			found := 0
			for _, m := range d.c.status().Members {
				if m.Drained {
					found++
				}
			}
			return found == n
		})
	}
}

// notesServers is for another, which wants others.
func (d *docsRun) notesServers() {
	d.c.t.Helper()
	d.c.waitRouted()
	d.servers = map[string]int{}
	for _, m := range d.c.members {
		d.servers[m.name] = m.pid("postmaster")
	}
}

// another server process runs on each of these members, and on no other.
func another(names ...string) func(*docsRun) {
	return func(d *docsRun) {
		d.c.t.Helper()
		for _, m := range d.c.members {
			if !slices.Contains(names, m.name) {
				continue
			}
			d.c.wait(40*time.Second, "another postmaster on "+m.name, func() bool {
				now := m.pid("postmaster")
				return now != 0 && now != d.servers[m.name]
			})
		}
		d.c.waitRouted()
		for _, m := range d.c.members {
			if !slices.Contains(names, m.name) && m.pid("postmaster") != d.servers[m.name] {
				d.c.t.Errorf("%s was restarted, too", m.name)
			}
		}
	}
}

// place makes the directories of a member that is to be made, and what a test's member needs besides: ports of its own.
func (d *docsRun) place(name string, ip string, counts bool) {
	d.c.t.Helper()
	usual := filepath.Join(d.c.dir, "n"+strconv.Itoa(len(d.c.members)+1))
	for _, left := range []string{usual, usual + ".yaml"} { // by the one that was made before
		if err := os.RemoveAll(left); err != nil {
			d.c.t.Fatal(err)
		}
	}
	m := d.c.add()
	if !counts {
		d.c.members = d.c.members[:len(d.c.members)-1]
	}
	m.name, m.ip, m.pg, m.rw, m.ro = name, ip, d.n1.pg, ports.Free(d.c.t), ports.Free(d.c.t)
	args := slices.Delete(m.setupArgs("--pg-listen", ip), 2, 6) // --name and --address are the page's
	d.fresh, d.stands["SETUP"] = m, strings.Join(args, " ")
}

// placed is place for a table: of a member that is made, and does not run.
func placed(name, ip string) func(*docsRun) {
	return func(d *docsRun) { d.place(name, ip, false) }
}

// placesPooler is place of a host that only pools.
func (d *docsRun) placesPooler() {
	h := d.c.addPoolerHost("app1", "127.0.0.10")
	d.fresh = h
	d.stands["SETUP"] = strings.Join([]string{"--config", h.config, "--state-dir", h.dir, "--listen-rw", h.at(h.rw), "--listen-ro", h.at(h.ro)}, " ")
}

// made: there is a configuration, which a member can be run with.
func made(d *docsRun) {
	d.c.t.Helper()
	if _, err := os.Stat(d.fresh.config); err != nil {
		d.c.t.Fatal(err)
	}
}

// hasFork waits for one of a member, which then stands for an id of the pages.
func (d *docsRun) hasFork(kind, shown, of string) {
	d.c.t.Helper()
	d.c.wait(60*time.Second, "a fork on "+of, func() bool {
		var out api.Forks
		a := d.n1.try("forks", of, "--json")
		i := -1
		if json.Unmarshal([]byte(a.stdout), &out) == nil {
			i = slices.IndexFunc(out.Forks, func(f api.ForkEntry) bool { return f.Kind == kind })
		}
		if i >= 0 {
			d.stands[shown] = out.Forks[i].ID
		}
		return i >= 0
	})
	d.c.waitRouted()
}

// hasNoFork waits until what an id stands for is gone.
func hasNoFork(of string) func(*docsRun) {
	return func(d *docsRun) {
		d.c.t.Helper()
		d.c.wait(30*time.Second, d.stands[of]+" to be gone", func() bool {
			a := d.n1.try("forks", "--json")
			return a.code == 0 && !strings.Contains(a.stdout, strconv.Quote(d.stands[of]))
		})
	}
}

// stopped ends a member's agent, as systemctl does.
func stopped(name string) func(*docsRun) {
	return func(d *docsRun) {
		d.c.t.Helper()
		m := d.c.get(name)
		m.signal(syscall.SIGTERM)
		m.waitEnd(60 * time.Second)
	}
}

// isGone: nobody counts the member any more, and the others are well.
func isGone(name string) func(*docsRun) {
	return func(d *docsRun) {
		d.c.t.Helper()
		d.c.members = slices.DeleteFunc(d.c.members, func(m *member) bool { return m.name == name })
		d.c.wait(30*time.Second, name+" to be gone", func() bool {
			s := d.c.status()
			return len(s.Members) == len(d.c.members) && s.member(name).Name == ""
		})
		d.c.waitRouted()
	}
}
