package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/health"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/ui"
)

func setTLS(c *Client, config *tls.Config) {
	c.http.Transport.(*http.Transport).TLSClientConfig = config
}

// TestAccess tries each route as each kind of caller.
func TestAccess(t *testing.T) {
	f := newFixture(t)
	stranger, err := pki.NewCA(clusterID, time.Now()) // the same name, another key
	if err != nil {
		t.Fatal(err)
	}
	callers := map[string]struct {
		client *Client
		is     int
	}{
		"local":              {f.local(), asMember},
		"member":             {f.remote(pair(t, f.ca, "n2")), asMember},
		"no certificate":     {f.remote(nil), asAnybody},
		"client certificate": {f.remote(clientPair(t, f.ca, "n2")), asAnybody},
		"pooler":             {f.remote(poolerPair(t, f.ca, "n2")), asAnybody},
		"viewer":             {f.remote(viewerPair(t, f.ca, "n2")), asViewer},
		"viewer of wrong CA": {f.remote(viewerPair(t, stranger, "n2")), refusedByTLS},
		"viewer's token":     {f.bearer(RoleViewer), asViewer},
		"operator's token":   {f.bearer(RoleOperator), asOperator},
		"admin's token":      {f.bearer(RoleAdmin), asAdmin},
		"wrong CA":           {f.remote(pair(t, stranger, "n2")), refusedByTLS},
		"expired":            {f.remote(pairFrom(t, f.ca, "n2", time.Now().Add(-48*time.Hour))), refusedByTLS},
		"expired viewer":     {f.remote(viewerPairFrom(t, f.ca, "n2", time.Now().Add(-48*time.Hour))), refusedByTLS},
	}
	for name, caller := range callers {
		for route, who := range whoMay {
			status, code, err := try(caller.client, route)
			forbidden := status == http.StatusForbidden && (code == CodeForbidden || code == CodePoolerUnknown)
			switch {
			case caller.is == refusedByTLS:
				if err == nil {
					t.Errorf("%s as %s: got past TLS: %d", route, name, status)
				}
			case err != nil:
				t.Errorf("%s as %s: %v", route, name, err)
			case who == forPoolers:
				if wants := map[bool]string{true: CodePoolerUnknown, false: CodeForbidden}[name == "pooler"]; code != wants { // it is not registered
					t.Errorf("%s as %s: %d %s", route, name, status, code)
				}
			case forbidden != (caller.is > who):
				t.Errorf("%s as %s: %d %s", route, name, status, code)
			}
		}
	}
}

// Who a caller is, and whom a route is for.
const (
	refusedByTLS = iota
	asMember
	asAdmin
	asOperator
	asViewer
	asAnybody
	forPoolers

	forMembers, forAdmins, forOperators, forViewers, forAll = asMember, asAdmin, asOperator, asViewer, asAnybody
)

// whoMay ask each route. What is no route is for all: everybody is told so.
var whoMay = map[string]int{
	"GET /v1/member": forMembers, "POST /v1/vouch": forMembers, "POST /v1/tokens": forMembers, "POST /v1/viewers": forMembers,
	"GET " + RecoveryPath: forMembers, "POST " + RecoveryPath: forMembers, "POST " + RetirePath: forMembers,
	"POST " + AccessPath: forMembers, "GET " + AccessPath: forMembers, "DELETE " + AccessPath + "/{id}": forMembers,
	"PUT /v1/poolers/{name}": forMembers,

	"GET /v1/status": forViewers, "GET /v1/endpoints": forViewers, "GET /v1/explain": forViewers, "GET /v1/whatif": forViewers, "GET /v1/events": forViewers,
	"GET /v1/operations/current": forViewers, "GET /v1/operations/{id}": forViewers, "GET /v1/forks": forViewers, "GET " + AccessPath + "/self": forViewers,
	"GET " + MetricsPath: forViewers, "GET " + LogPath: forViewers, "GET " + WatchPath: forViewers, "GET " + LivePath: forViewers,
	"GET " + NodePath: forViewers, "GET " + ClusterPath: forViewers, "GET " + HistoryPath: forViewers,

	"POST /v1/operations": forOperators, "DELETE /v1/operations/current": forOperators, "POST /v1/members/{name}/requests": forOperators,
	"PUT /v1/members/{name}/drain": forOperators, "DELETE /v1/members/{name}/drain": forOperators, "POST /v1/pause": forOperators, "DELETE /v1/pause": forOperators,
	"PUT " + LogPath: forOperators,

	"GET /v1/spec": forAdmins, "PUT /v1/spec": forAdmins, "DELETE /v1/members/{name}": forAdmins, "DELETE /v1/poolers/{name}": forAdmins,
	"GET /v1/members/{name}/forks/{id}": forAdmins, "DELETE /v1/members/{name}/forks/{id}": forAdmins,

	"GET " + PoolerStatePath: forPoolers, "PUT " + PoolerRecordPath: forPoolers, "DELETE " + PoolerRecordPath: forPoolers,
	"POST " + PoolerRenewPath: forPoolers, "GET " + PoolerWatchPath: forPoolers,

	"POST " + JoinPath: forAll, "POST " + PoolerJoinPath: forAll, "GET " + OpenAPIPath: forAll, "GET " + ui.Path: forAll,
	"/": forAll, "PATCH /v1/status": forAll, "GET /v1/nothing": forAll,
}

// TestAccessTriesEachRoute: whoever adds a route says here whom it is for, and it is tried as each kind of caller.
func TestAccessTriesEachRoute(t *testing.T) {
	there := newFixture(t).s.router().patterns
	for _, pattern := range there {
		_, path, _ := strings.Cut(pattern, " ")
		if slices.Contains(health.Paths(), strings.TrimSuffix(path, "{$}")) { // yes or no, for all: TestHealth
			continue
		}
		if _, ok := whoMay[pattern]; !ok {
			t.Errorf("nothing says who may ask %s", pattern)
		}
	}
	for pattern := range whoMay {
		if !slices.Contains(there, pattern) && pattern != "PATCH /v1/status" && pattern != "GET /v1/nothing" {
			t.Errorf("%s is no route", pattern)
		}
	}
}

// try asks and does not read what is a stream. code is a problem's.
func try(c *Client, route string) (status int, code string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	method, path, ok := strings.Cut(route, " ")
	if !ok {
		method, path = http.MethodGet, route
	}
	path = strings.NewReplacer("{name}", "n9", "{id}", "x").Replace(path)
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return 0, "", err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	var p Problem
	if answer.Header.Get("Content-Type") == "application/problem+json" {
		err = json.NewDecoder(answer.Body).Decode(&p)
	}
	return answer.StatusCode, p.Code, err
}

func pair(t *testing.T, ca *pki.CA, name string) *tls.Config {
	t.Helper()
	return pairFrom(t, ca, name, time.Now())
}

func pairFrom(t *testing.T, ca *pki.CA, name string, from time.Time) *tls.Config {
	t.Helper()
	cert, key, err := ca.Issue(name, []string{"127.0.0.1"}, from, time.Hour)
	return keyPair(t, cert, key, err)
}

func clientPair(t *testing.T, ca *pki.CA, name string) *tls.Config {
	t.Helper()
	key, csr, err := pki.NewKeyAndCSR(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.SignClient(csr, name, time.Now(), time.Hour)
	return keyPair(t, cert, key, err)
}

func viewerPair(t *testing.T, ca *pki.CA, name string) *tls.Config {
	t.Helper()
	return viewerPairFrom(t, ca, name, time.Now())
}

func viewerPairFrom(t *testing.T, ca *pki.CA, name string, from time.Time) *tls.Config {
	t.Helper()
	key, csr, err := pki.NewKeyAndCSR(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.SignViewer(csr, name, from, time.Hour)
	return keyPair(t, cert, key, err)
}

func poolerPair(t *testing.T, ca *pki.CA, name string) *tls.Config {
	t.Helper()
	key, csr, err := pki.NewKeyAndCSR(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.SignPooler(csr, name, []string{"127.0.0.1"}, time.Now(), time.Hour)
	return keyPair(t, cert, key, err)
}

func keyPair(t *testing.T, cert, key []byte, err error) *tls.Config {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	p, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	// Not Certificates: Go would hold back one that the server's CA list does not name.
	return &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &p, nil }}
}

// TestSocketIsForItsUserAndRoot connects as another user, with the socket's mode
// opened so that only the check of the caller is left.
func TestSocketIsForItsUserAndRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	f := newFixture(t)
	socket := SocketPath(f.b.Config.StateDir)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("socket: %v %v", info, err)
	}
	os.Chmod(f.b.Config.StateDir, 0o755)
	os.Chmod(socket, 0o666)
	conn, err := dialAs(65534, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	out, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(out), "403 Forbidden") || !strings.Contains(string(out), "user 65534 may not administer") {
		t.Fatalf("%v: %s", err, out)
	}
}

// dialAs connects with one thread's effective user changed: the kernel notes the
// user of the connecting thread.
func dialAs(uid int, socket string) (net.Conn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const keep = ^uintptr(0)
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); e != 0 {
		return nil, e
	}
	defer syscall.RawSyscall(syscall.SYS_SETRESUID, keep, 0, keep)
	return net.Dial("unix", socket)
}

func TestLimits(t *testing.T) {
	f := newFixture(t)
	var p *Problem
	_, err := f.local().PutSpec(context.Background(), SpecChange{YAML: strings.Repeat("#", 2<<20)}, true)
	if !errors.As(err, &p) || p.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 2 MB: %v", err)
	}
	for name, text := range map[string]string{"unknown field": `{"kind":"switchover","too":"n2"}`, "not JSON": `kind`, "two values": `{} {}`, "nothing": ``} {
		request, _ := http.NewRequest(http.MethodPost, "http://pgherd/v1/operations", strings.NewReader(text))
		answer, err := f.local().http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest || answer.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %s", name, answer.Status, body)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	f := newFixture(t)
	conn, err := tls.Dial("tcp", f.s.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err == nil {
		conn.Close()
		t.Fatal("TLS 1.2 is taken")
	}
}

func TestListenTwice(t *testing.T) {
	f := newFixture(t)
	if _, err := Listen(f.b); err == nil || !strings.Contains(err.Error(), "another agent answers") {
		t.Fatalf("a second server on one socket: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	dir := shortDir(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: SocketPath(dir)})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as after kill -9
	l.Close()
	again, err := listenUnix(SocketPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestErrorsOfTheClient(t *testing.T) {
	if _, err := Local("/tmp/pgherd-no-such-socket").Status(context.Background()); !errors.Is(err, ErrNoAgent) {
		t.Errorf("no socket: %v", err)
	}
	l, err := net.Listen("unix", SocketPath(shortDir(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1))
			c.Close()
		}
	}()
	if _, err := Local(l.Addr().String()).Pause(context.Background()); !errors.Is(err, ErrLost) {
		t.Errorf("a connection that breaks: %v", err)
	}
}
