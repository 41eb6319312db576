package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/pki"
)

// TestMetricsAreForViewers: a viewer gets them with GET and HEAD, with the certificate that it was given, and
// whoever shows none gets nothing.
func TestMetricsAreForViewers(t *testing.T) {
	f := newFixture(t, func(b *Backend) {
		b.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "pgherd_term 4") })
	})
	key, csr, err := pki.NewKeyAndCSR("prometheus", nil)
	if err != nil {
		t.Fatal(err)
	}
	given, err := f.local().Viewer(context.Background(), ViewerRequest{Name: "prometheus", CSR: string(csr)})
	if err != nil {
		t.Fatal(err)
	}
	if end, err := time.Parse(time.RFC3339, given.Expires); err != nil || time.Until(end) < 364*24*time.Hour {
		t.Errorf("it ends at %s, %v", given.Expires, err)
	}
	told := f.b.Journal.Events(0)
	if text := told[len(told)-1].Text; !strings.Contains(text, "certificate of viewer prometheus until "+given.Expires) {
		t.Errorf("audited as %q", text)
	}
	viewer := f.remote(keyPair(t, []byte(given.Cert), key, nil))
	if given.CACert != string(f.ca.CertPEM()) {
		t.Error("the CA's certificate is another")
	}
	for method, want := range map[string]string{http.MethodGet: "pgherd_term 4\n", http.MethodHead: ""} {
		status, body, header := ask(t, viewer, method)
		if status != http.StatusOK || body != want || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q %v", method, status, body, header)
		}
		for name, other := range map[string]*tls.Config{"nobody": nil, "a client": clientPair(t, f.ca, "prometheus")} {
			if status, _, _ := ask(t, f.remote(other), method); status != http.StatusForbidden {
				t.Errorf("%s by %s: %d", method, name, status)
			}
		}
	}
	if status, _, _ := ask(t, viewer, http.MethodPost); status == http.StatusOK {
		t.Error("POST is answered")
	}
}

func TestViewerIsRefused(t *testing.T) {
	f := newFixture(t)
	_, csr, err := pki.NewKeyAndCSR("prometheus", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range []ViewerRequest{{"prometheus", "no request"}, {"Not a name", string(csr)}, {"", string(csr)}} {
		if _, err := f.local().Viewer(context.Background(), request); err == nil {
			t.Errorf("%.20v was signed", request)
		}
	}
}

func ask(t *testing.T, c *Client, method string) (status int, body string, header http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, c.base+MetricsPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Header
}
