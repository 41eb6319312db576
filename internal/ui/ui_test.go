package ui

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// gzipMax is what the dashboard may weigh in all.
const gzipMax = 100_000

func get(method, path string, header map[string]string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestWeight(t *testing.T) {
	total := 0
	for name, f := range load() {
		t.Logf("%s: %d bytes, %d with gzip", name, len(f.plain), len(f.small))
		total += len(f.small)
	}
	t.Logf("in all %d bytes with gzip, at most %d", total, gzipMax)
	if total > gzipMax {
		t.Errorf("the dashboard weighs %d bytes with gzip, more than %d", total, gzipMax)
	}
}

// TestFiles: each is served in both forms, with a type that no machine's table decides, and the page's policy.
func TestFiles(t *testing.T) {
	kinds := map[string]string{"": "text/html", "index.html": "text/html", "app.js": "text/javascript", "index.css": "text/css", "icon.svg": "image/svg+xml"}
	for name, kind := range kinds {
		plain, small := get("GET", Path+name, nil), get("GET", Path+name, map[string]string{"Accept-Encoding": "gzip, br"})
		if plain.StatusCode != http.StatusOK || !strings.HasPrefix(plain.Header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", name, plain.StatusCode, plain.Header.Get("Content-Type"))
			continue
		}
		z, err := gzip.NewReader(small.Body)
		if err != nil || small.Header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: %v", name, err)
		}
		a, _ := io.ReadAll(plain.Body)
		if b, err := io.ReadAll(z); err != nil || string(a) != string(b) || len(a) == 0 {
			t.Errorf("%s: the forms differ, %v", name, err)
		}
		if plain.Header.Get("ETag") == small.Header.Get("ETag") {
			t.Errorf("%s: two forms with one strong ETag", name)
		}
		for h, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": policy} {
			if got := small.Header.Get(h); got != want {
				t.Errorf("%s: %s: %q", name, h, got)
			}
		}
	}
}

// TestSameBuildIsNotSentAgain: and nothing but GET and HEAD of files that are there is answered.
func TestSameBuildIsNotSentAgain(t *testing.T) {
	zip := map[string]string{"Accept-Encoding": "gzip"}
	zip["If-None-Match"] = get("GET", Path+"app.js", zip).Header.Get("ETag")
	again := get("GET", Path+"app.js", zip)
	if body, _ := io.ReadAll(again.Body); again.StatusCode != http.StatusNotModified || len(body) != 0 {
		t.Errorf("%d, %d bytes", again.StatusCode, len(body))
	}
	for _, path := range []string{"nothing.js", "../ui.go", "dist/app.js", "a/b"} {
		if status := get("GET", Path+path, nil).StatusCode; status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// TestPolicyHasNoHole: a browser runs our files and nothing that is written into a page.
func TestPolicyHasNoHole(t *testing.T) {
	for _, word := range []string{"unsafe", "http:", "https:", "*", "data:", "blob:"} {
		if strings.Contains(policy, word) {
			t.Errorf("the policy has %s", word)
		}
	}
	page := string(load()["index.html"].plain)
	if strings.Contains(page, "style=") || strings.Contains(page, "onload") || strings.Count(page, "<script") != strings.Count(page, "<script type=\"module\" crossorigin src=\"./") {
		t.Errorf("the page has code or style of its own: %s", page)
	}
}
