package vuln

import (
	"compress/gzip"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// leftOut is the exit code for a database that does not answer.
const leftOut = 3

// check runs the script, with the database that is named by default.
func check(t *testing.T, db string) (code int, said string) {
	t.Helper()
	cmd := exec.Command("../../scripts/vuln.sh")
	if db != "" {
		cmd.Env = append(os.Environ(), "PGHERD_VULN_DB="+db, "NO_PROXY=127.0.0.1")
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestNoneIsKnown is the check itself. Its first line is what the overview shows of a skip.
func TestNoneIsKnown(t *testing.T) {
	code, said := check(t, "")
	first, _, _ := strings.Cut(said, "\n")
	switch code {
	case 0:
	case leftOut:
		t.Skip(first)
	default:
		t.Errorf("exit code %d: %s", code, said)
	}
}

// database is one as vuln.go.dev serves it (https://go.dev/doc/security/vuln/database), empty, or with a vulnerability that somebody
// made up, of all versions of a module, in one function.
func database(module, symbol string) http.Handler {
	const id, at = "GO-2026-9001", "2026-11-01T00:00:00Z"
	mux := http.NewServeMux()
	serve := func(path, text string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
		mux.HandleFunc("GET "+path+".gz", func(w http.ResponseWriter, _ *http.Request) {
			packed := gzip.NewWriter(w)
			fmt.Fprint(packed, text)
			packed.Close()
		})
	}
	serve("/index/db.json", `{"modified":"`+at+`"}`)
	if module == "" {
		serve("/index/modules.json", `[]`)
		return mux
	}
	serve("/index/modules.json", `[{"path":"`+module+`","vulns":[{"id":"`+id+`","modified":"`+at+`"}]}]`)
	serve("/ID/"+id+".json", `{"schema_version":"1.3.1","id":"`+id+`","modified":"`+at+`","published":"`+at+`","summary":"made up","details":"made up",
		"affected":[{"package":{"name":"`+module+`","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
		"ecosystem_specific":{"imports":[{"path":"`+module+`","symbols":["`+symbol+`"]}]}}],
		"database_specific":{"url":"https://pkg.go.dev/vuln/`+id+`"}}`)
	return mux
}

// TestVerdicts: what the binary calls fails, an empty database does not. Each is a whole analysis, 5 to 15 s; that what is not
// called does not count is govulncheck's own business.
func TestVerdicts(t *testing.T) {
	const module, symbol = "go.etcd.io/bbolt", "Open" // the embedded store's files
	for _, c := range []struct {
		what           string
		module, symbol string
		code           int
		words          []string
	}{
		{"one in what is called", module, symbol, 1, []string{"GO-2026-9001", module, "error: govulncheck has found something", "hint: "}},
		{"none", "", "", 0, []string{"No vulnerabilities found"}},
	} {
		asked := 0
		db := database(c.module, c.symbol)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked++; db.ServeHTTP(w, r) }))
		code, said := check(t, server.URL)
		server.Close()
		if code != c.code || asked == 0 {
			t.Errorf("%s: exit code %d, asked %d times: %s", c.what, code, asked, said)
		}
		for _, w := range c.words {
			if !strings.Contains(said, w) {
				t.Errorf("%s: %q is missing: %s", c.what, w, said)
			}
		}
	}
}

// TestSilence: whoever cannot ask is told so soon: where nobody listens, where packets get no answer, and where somebody else answers.
func TestSilence(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and nobody speaks
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for what, host := range map[string]string{"silent": silent.Addr().String(), "closed": closed.Addr().String(), "another server": other.Listener.Addr().String()} {
		began := time.Now()
		code, said := check(t, "http://"+host)
		if code != leftOut || !strings.HasPrefix(said, "LEFT OUT: govulncheck: "+host+" does not answer\n") || time.Since(began) > 10*time.Second {
			t.Errorf("%s: exit code %d after %v: %s", what, code, time.Since(began), said)
		}
	}
}
