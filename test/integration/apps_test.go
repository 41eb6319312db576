package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/pki"
)

// psqlWith connects as an application does, with libpq.
func (c *cluster) psqlWith(environment []string, args ...string) string {
	c.t.Helper()
	cmd := exec.Command(filepath.Join(binDir, "psql"), append([]string{"-XqAtw"}, args...)...)
	cmd.Env = append(os.Environ(), environment...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("psql %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestWaitAndNotification: wait ends when the new primary accepts writes, and who listens there is told of it once.
func TestWaitAndNotification(t *testing.T) {
	c := shared(t)
	old := c.waitSync()
	to := c.others(old)[0]
	if got := old.do("wait", "--for", "primary="+old.name, "--timeout", "5s"); !strings.HasPrefix(got, "primary="+old.name+": "+old.name+" accepts writes (") {
		t.Errorf("%s", got)
	}
	if a := old.try("wait", "--for", "primary="+to.name, "--timeout", "300ms"); a.code != 1 || !strings.Contains(a.stderr, "error: not primary="+to.name+" after 300ms: "+old.name+" accepts writes") || !strings.Contains(a.stderr, "hint: ") {
		t.Errorf("%s", a)
	}
	became := c.seenBy(to, old)
	old.do("switchover", to.name)
	first := <-became
	if first.err != nil {
		t.Fatal(first.err)
	}
	t.Logf("the old primary's member told of the new one %v after that accepted writes", first.after.Round(time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := connect(ctx, "read-write", c.members...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(ctx, "LISTEN pgherd"); err != nil {
		t.Fatal(err)
	}
	n, err := conn.WaitForNotification(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var says struct {
		Event, Member string
		Port          int
		Term          uint64
	}
	if err := json.Unmarshal([]byte(n.Payload), &says); err != nil || says.Event != "primary" || says.Member != to.name || says.Port != to.pg || says.Term != c.lease().Term {
		t.Errorf("%s: %v", n.Payload, err)
	}
	to.do("wait", "--for", "healthy", "--timeout", "60s")
}

type sight struct {
	after time.Duration // beyond the moment at which the new primary accepted writes, as the test saw it; negative: before
	err   error
}

// seenBy watches a member's event stream until it tells that to is the primary, and asks to itself all the time.
func (c *cluster) seenBy(to, by *member) <-chan sight {
	c.t.Helper()
	config, err := pki.ClientTLS(pki.Dir(filepath.Join(by.dir, "pki")))
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	c.t.Cleanup(cancel)
	writable, told := make(chan time.Time, 1), make(chan sight, 1)
	go func() {
		for ctx.Err() == nil && !c.isPrimary(to) {
			time.Sleep(time.Millisecond)
		}
		writable <- time.Now()
	}()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+at(by.api)+"/v1/watch", nil)
	answer, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: config}}).Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer answer.Body.Close()
		err := untilPrimary(json.NewDecoder(&dataLines{from: answer.Body}), to.name)
		at := time.Now()
		told <- sight{at.Sub(<-writable), err}
	}()
	return told
}

func untilPrimary(events *json.Decoder, name string) error {
	for {
		var e struct{ RW *struct{ Member string } }
		if err := events.Decode(&e); err != nil {
			return err
		}
		if e.RW != nil && e.RW.Member == name {
			return nil
		}
	}
}

// dataLines gives the data of server-sent events, and nothing else of them.
type dataLines struct {
	from io.Reader
	pipe *io.PipeReader
}

func (d *dataLines) Read(p []byte) (int, error) {
	if d.pipe == nil {
		r, w := io.Pipe()
		d.pipe = r
		go func() {
			lines := bufio.NewScanner(d.from)
			for lines.Scan() {
				if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					fmt.Fprintln(w, text)
				}
			}
			w.CloseWithError(io.ErrUnexpectedEOF)
		}()
	}
	return d.pipe.Read(p)
}
