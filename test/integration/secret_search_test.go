package integration

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/health"
	"github.com/pgherd/pgherd/test/ports"
)

// secret is one that was marked, and where it may be.
type secret struct {
	what, text string
	homes      []*regexp.Regexp // of files, by their paths below the cluster's directory
	atHome     int              // in so many of them it was found
}

// search looks for secrets. In each kind of place it proves first that it sees: there is something that it must find.
type search struct {
	c       *cluster
	mu      sync.Mutex // processes are looked at all the time
	secrets []*secret
	seen    map[string]bool // kinds of processes
	canary  *exec.Cmd
	stop    func()
}

func (c *cluster) free() int { return ports.Free(c.t) }

// add marks a secret. One that is too short would be found by chance, an empty one everywhere.
func (s *search) add(what, text string, homes ...string) {
	s.c.t.Helper()
	if len(text) < 10 {
		s.c.t.Fatalf("%s is %q: that is no secret", what, text)
	}
	one := &secret{what: what, text: text}
	for _, h := range homes {
		one.homes = append(one.homes, regexp.MustCompile(h))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, one)
}

// addFile marks a token in the file that holds it: its random part, as every token of a cluster ends alike.
func (s *search) addFile(what, path, home string) {
	s.c.t.Helper()
	token, err := os.ReadFile(path)
	_, text, ok := strings.Cut(string(token), ".")
	if err != nil || !ok || len(text) < 20 {
		s.c.t.Fatalf("%s: %v: %s", path, err, token)
	}
	s.add(what, text[:20], "^"+regexp.QuoteMeta(home)+"$")
}

func (s *search) text(what string) string {
	for _, one := range s.secrets {
		if one.what == what {
			return one.text
		}
	}
	return ""
}

// in gives the secrets that are in a text.
func (s *search) in(text string) (found []*secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.secrets {
		if strings.Contains(text, one.text) {
			found = append(found, one)
		}
	}
	return found
}

// clean fails if a secret is in the text, but for those that may be.
func (s *search) clean(where, text string, but ...string) {
	s.c.t.Helper()
	for _, one := range s.in(text) {
		if !slices.Contains(but, one.what) {
			at := strings.Index(text, one.text)
			s.c.t.Errorf("%s: there is %s: %.200q", where, one.what, text[max(0, at-150):])
		}
	}
}

// newSearch begins to look at the command lines and environments of all of the machine's processes, tools that live for milliseconds
// among them. A canary has a secret in both.
func newSearch(c *cluster) *search {
	s := &search{c: c, seen: map[string]bool{}}
	line, env := "canary-"+rand.Text(), "canary-"+rand.Text()
	s.add("the canary's argument", line)
	s.add("the canary's environment", env)
	s.canary = exec.Command("/bin/sh", "-c", "read line", line)
	s.canary.Env = []string{"CANARY=" + env}
	wait, err := s.canary.StdinPipe()
	if err == nil {
		err = s.canary.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			s.processes()
			time.Sleep(10 * time.Millisecond)
		}
	})
	s.stop = sync.OnceFunc(func() { cancel(); done.Wait(); _ = wait.Close(); _ = s.canary.Wait() })
	c.t.Cleanup(s.stop)
	return s
}

func (s *search) processes() {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		for _, file := range []string{"cmdline", "environ"} {
			text, _ := os.ReadFile(filepath.Join("/proc", e.Name(), file)) // it has ended
			for _, one := range s.in(string(text)) {
				s.mu.Lock()
				if pid == s.canary.Process.Pid {
					one.atHome++
				} else if said := e.Name() + file + one.what; !s.seen[said] { // it is there again in ten milliseconds
					s.seen[said] = true
					s.c.t.Errorf("%s of %.100q has %s", file, text, one.what)
				}
				s.mu.Unlock()
			}
		}
		if p, ours := inspect(pid, s.c.dir+"/"); ours {
			s.mu.Lock()
			s.seen[p.kind] = true
			s.mu.Unlock()
		}
	}
}

// end tells whether the search saw.
func (s *search) end() {
	s.stop()
	for _, kind := range []string{"agent", "warden", "postmaster", "backend", "tool", "pooler-rw", "pooler-ro"} {
		if !s.seen[kind] {
			s.c.t.Errorf("no %s was seen among the processes: %v", kind, s.seen)
		}
	}
	for _, one := range s.secrets {
		if one.atHome == 0 {
			s.c.t.Errorf("%s was not found where it must be: the search is blind", one.what)
		}
	}
}

// files looks into every file of the cluster. A secret is where it belongs, and nobody else may read that; a log that stands for the
// agent's stream is the one exception, as the test itself made it open.
func (s *search) files() {
	t, n := s.c.t, 0
	err := filepath.WalkDir(s.c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // gone meanwhile
		}
		data, err := os.ReadFile(path)
		info, statErr := d.Info()
		if err != nil || statErr != nil {
			return nil
		}
		n++
		name, _ := filepath.Rel(s.c.dir, path)
		for _, one := range s.in(string(data)) {
			if !slices.ContainsFunc(one.homes, func(h *regexp.Regexp) bool { return h.MatchString(name) }) {
				s.clean(name, string(data))
				continue
			}
			one.atHome++
			if info.Mode().Perm()&0o077 != 0 && filepath.Ext(path) != ".log" {
				t.Errorf("%s (%v) may be read by others, and has %s", name, info.Mode(), one.what)
			}
		}
		return nil
	})
	if err != nil || n < 100 {
		t.Errorf("%d files, %v", n, err)
	}
	for _, name := range []string{"n1/journal/journal.jsonl", "n1/postgres.log", "n1/warden.log", "n1.log", "app1.log", "n1/pooler/rw/pgbouncer.log", "app1/pooler/rw/pgbouncer.log"} {
		if info, err := os.Stat(filepath.Join(s.c.dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v: what was to be searched is not there", name, err)
		}
	}
}

func (s *search) storeValues() (values []string) {
	s.c.withStore(func(ctx context.Context, store *clientv3.Client) bool {
		r, err := store.Get(ctx, "\x00", clientv3.WithFromKey())
		if err != nil {
			return false
		}
		for _, kv := range r.Kvs {
			values = append(values, string(kv.Key)+"="+string(kv.Value))
		}
		return true
	})
	return values
}

// caller asks the API as somebody.
type caller struct {
	name, token string
	http        *http.Client
}

func (m *marked) bearer(token string) caller {
	return caller{"who has a token", token, &http.Client{Transport: m.trusting(), Timeout: 20 * time.Second}}
}

// trusting knows the cluster's CA, and shows no certificate.
func (m *marked) trusting() http.RoundTripper {
	dir := m.c.t.TempDir()
	ca, err := os.ReadFile(filepath.Join(m.first.dir, "pki", "ca.crt"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "pgherd-ca.crt"), ca, 0o600)
	}
	if err != nil {
		m.c.t.Fatal(err)
	}
	return m.c.viewer(dir, "").Transport
}

// ask gives the answer; of a stream its first event, which is the whole state.
func (m *marked) ask(as caller, n *member, path string) (status int, text string) {
	m.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+n.apiAt()+path, nil)
	if err != nil {
		m.c.t.Fatal(err)
	}
	if as.token != "" {
		r.Header.Set("Authorization", "Bearer "+as.token)
	}
	answer, err := as.http.Do(r)
	if err != nil {
		m.c.t.Fatalf("%s at %s by %s: %v", path, n.name, as.name, err)
	}
	defer answer.Body.Close()
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			text += lines.Text() + "\n"
			if strings.HasPrefix(lines.Text(), "data:") {
				return answer.StatusCode, text
			}
		}
		m.c.t.Fatalf("%s at %s ended without an event: %v: %s", path, n.name, lines.Err(), text)
	}
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		m.c.t.Fatalf("%s: %v", path, err)
	}
	return answer.StatusCode, string(data)
}

// told is what a stream has said so far.
type told struct {
	mu   sync.Mutex
	text []byte
}

func (t *told) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	return len(p), nil
}

func (t *told) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// follow reads a stream until what it gives is called, which looks into it as soon as the words of what happened are in it.
func (m *marked) follow(as caller, n *member, path string, words ...string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+n.apiAt()+path, nil)
	if err != nil {
		m.c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+as.token)
	answer, err := (&http.Client{Transport: as.http.Transport}).Do(r)
	if err != nil {
		m.c.t.Fatal(err)
	}
	var text told
	var done sync.WaitGroup
	done.Go(func() { _, _ = io.Copy(&text, answer.Body) }) // until it is given up
	stop := sync.OnceFunc(func() { cancel(); done.Wait(); _ = answer.Body.Close() })
	m.c.t.Cleanup(stop)
	return func() {
		for _, w := range words {
			m.c.wait(10*time.Second, w+" in the stream "+path, func() bool { return strings.Contains(text.String(), w) })
		}
		stop()
		m.clean("the stream "+path, text.String())
	}
}

// routes are all that answer GET: those that are described, with the role that they need, and those that are not.
func (m *marked) routes() map[string]string {
	text, err := os.ReadFile("../../internal/api/openapi.json")
	var described struct {
		Paths map[string]map[string]struct {
			Role string `json:"x-role"`
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &described)
	}
	if err != nil {
		m.c.t.Fatal(err)
	}
	routes := map[string]string{api.MetricsPath: "viewer", api.LivePath: "viewer", api.WatchPath + "?fresh": "viewer",
		"/v1/events?limit=2000": "viewer", "/v1/events?local=1&limit=2000": "viewer", "/v1/whatif?fault=each": "viewer", "/v1/forks?local=1": "viewer",
		api.PoolerStatePath: "pooler", api.PoolerWatchPath: "pooler", api.OpenAPIPath: "", "/ui/": ""}
	for path, methods := range described.Paths {
		if get, ok := methods["get"]; ok {
			id := "x"
			if strings.HasPrefix(path, api.OutcomePath) {
				id = m.operation()
			}
			routes[strings.NewReplacer("{name}", m.first.name, "{id}", id).Replace(path)] = get.Role
		}
	}
	for _, path := range health.Paths() {
		routes[path] = ""
	}
	return routes
}

// operation is the id of the newest one.
func (m *marked) operation() string {
	var s struct {
		Last struct{ ID string } `json:"last_operation"`
	}
	if err := json.Unmarshal([]byte(m.first.do("status", "--json")), &s); err != nil || s.Last.ID == "" {
		m.c.t.Fatalf("no operation is known: %v", err)
	}
	return s.Last.ID
}

// answers has every route answer a viewer by certificate, a viewer and an operator by token, and somebody whom nobody knows.
func (m *marked) answers() {
	t := m.c.t
	as := []caller{
		{"nobody", "", &http.Client{Transport: m.trusting(), Timeout: 20 * time.Second}},
		{"a viewer by certificate", "", m.c.viewer(filepath.Join(m.c.dir, "viewer"), "look")},
		{"a viewer", m.viewer, m.bearer("").http},
		{"an operator", m.operator, m.bearer("").http},
	}
	routes := m.routes()
	told := map[string]int{}
	for path, role := range routes {
		for _, who := range as {
			for _, n := range m.c.members {
				status, text := m.ask(who, n, path)
				m.clean(path+" as "+who.name, text)
				if role != "" && (status < 400) != (role == "viewer" && who.name != "nobody") && path != "/v1/operations/current" && path != "/v1/whatif" {
					t.Errorf("%s at %s is for the role %s, and answers %s %d: %.200s", path, n.name, role, who.name, status, text)
				}
				if status < 400 {
					told[who.name] += strings.Count(text, m.first.name)
				}
			}
		}
	}
	if told["nobody"] != 0 || told["a viewer"] < 50 || told["an operator"] < 50 || len(routes) < 40 {
		t.Errorf("of %d routes' answers these name a member: %v: the search is blind", len(routes), told)
	}
	// The same for a member's administrator: there it is.
	local := api.Local(api.SocketPath(m.first.dir))
	defer local.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if d, err := local.Spec(ctx); err != nil || !strings.Contains(d.YAML, m.text(specValue)) {
		t.Errorf("the spec does not have its parameter: the search is blind: %v", err)
	}
}
