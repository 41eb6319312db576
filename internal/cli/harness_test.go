package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/mem"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/wal"
	"github.com/pgherd/pgherd/test/ports"
)

var update = flag.Bool("update", false, "write the transcripts anew")

const clusterID = "0b6ad7f1-6b1b-4c1e-9d5e-0a4f3c7a9d11"

var now = time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)

// cluster is a member's API over an in-memory store, with its pgherd.yaml.
type cluster struct {
	t       *testing.T
	dir     string
	config  string
	store   *mem.Store
	known   map[string]peer.Status
	journal *journal.Journal
	m       spec.Member
	s       *api.Server
	shown   []string // of this run alone, and what transcripts have instead, in turn
}

// shortDir can be entered by other users and has room for a socket's path.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgherd-cli-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func newCluster(t *testing.T, change ...func(*api.Backend)) *cluster {
	t.Helper()
	dir := shortDir(t)
	free := []int{ports.Free(t), ports.Free(t), ports.Free(t)}
	c := &cluster{t: t, dir: dir, config: filepath.Join(dir, "pgherd.yaml"), store: mem.New(), known: map[string]peer.Status{}}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", free[i]) }
	c.m = spec.Member{Name: "n1", Address: "127.0.0.1", StateDir: filepath.Join(dir, "state"), Listen: spec.Listen{API: at(0), Peer: at(1), Store: at(2)}}.WithDefaults()
	c.must(os.Mkdir(c.m.StateDir, 0o700))
	c.must(os.WriteFile(c.config, c.m.YAML(), 0o644))
	ca, err := pki.NewCA(clusterID, time.Now())
	c.must(err)
	cert, key, err := ca.Issue("n1", []string{"127.0.0.1"}, time.Now(), time.Hour)
	c.must(err)
	c.must(ca.Save(c.pki()))
	c.must(pki.SaveNode(c.pki(), cert, key))
	c.journal, err = journal.Open(filepath.Join(c.m.StateDir, "journal"))
	c.must(err)
	t.Cleanup(c.journal.Close)
	c.records()
	c.serve(change)
	return c
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) pki() pki.Dir { return pki.Dir(filepath.Join(c.m.StateDir, "pki")) }

func (c *cluster) put(key string, record any) {
	c.t.Helper()
	s, err := c.store.Snapshot(context.Background())
	c.must(err)
	_, err = records.Put(context.Background(), c.store, key, record, s.Entries[key].Revision)
	c.must(err)
}

func (c *cluster) records() {
	c.put(records.KeySpec, spec.DefaultCluster())
	c.put(records.KeyLease, core.LeaseRecord{Holder: "n1", Term: 4, LSN: 0x5000000})
	for i, name := range []string{"n1", "n2", "n3"} {
		c.put(records.MemberPrefix+name, core.MemberRecord{Name: name, Ordinal: i + 1, Address: fmt.Sprintf("10.0.0.%d", i+1), APIPort: 7432, PGPort: 5432})
		c.known[name] = peer.Status{Name: name, PostgresPID: 100 + i, Instance: core.Instance{
			State: core.StateRunning, Primary: i == 0, Streaming: i > 0, Timeline: 2,
			WriteLSN: 0x5000000, ReceivedLSN: wal.LSN(0x5000000 - 0x123456*i),
		}}
	}
	c.put(records.KeyCluster, core.ClusterRecord{ID: clusterID, Name: "main", BootstrapBy: "n1"})
}

func (c *cluster) serve(change []func(*api.Backend)) {
	b := api.Backend{
		Name: "n1", Config: c.m, Store: c.store, PKI: c.pki(), Journal: c.journal,
		Status: func() peer.Status { return c.known["n1"] }, Members: func() map[string]peer.Status { return c.known },
	}
	for _, f := range change {
		f(&b)
	}
	s, err := api.Listen(b)
	c.must(err)
	c.s = s
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	c.t.Cleanup(func() { cancel(); <-ended })
}

// run runs a command as a user would.
func (c *cluster) run(args ...string) (stdout, stderr string, code int) {
	return run("", append(args, "--config", c.config)...)
}

func run(stdin string, args ...string) (stdout, stderr string, code int) {
	return runWith(strings.NewReader(stdin), args...)
}

func runWith(stdin io.Reader, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	a := &app{stdin: stdin, stdout: &out, stderr: &errs, now: func() time.Time { return now }}
	code = a.main(context.Background(), args)
	return out.String(), errs.String(), code
}

// What differs from run to run.
var changing = []struct {
	find    *regexp.Regexp
	replace string
}{
	{regexp.MustCompile(`/tmp/pgherd-cli-\d+`), "DIR"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "ID"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(` *\d+\.\d\d s`), " #.## s"},
	{regexp.MustCompile(`go1\.[\w.]+`), "GOVERSION"},
	{regexp.MustCompile(`uid \d+`), "uid UID"},
}

// transcript runs the commands and holds what they print against testdata/NAME.txt:
// stdout as it is, stderr behind "! ", then the exit code.
func (c *cluster) transcript(name string, commands ...string) {
	c.t.Helper()
	var b strings.Builder
	for _, command := range commands {
		stdout, stderr, code := c.run(strings.Fields(command)...)
		fmt.Fprintf(&b, "$ pgherd %s\n%s", command, stdout)
		for line := range strings.Lines(stderr) {
			b.WriteString("! " + line)
		}
		fmt.Fprintf(&b, "[exit %d]\n\n", code)
	}
	got := strings.NewReplacer(c.shown...).Replace(b.String())
	for _, x := range changing {
		got = x.find.ReplaceAllString(got, x.replace)
	}
	path := filepath.Join("testdata", name+".txt")
	if *update {
		c.must(os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	c.must(err)
	if got != string(want) {
		c.t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}
