package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Path is where the dashboard is served, with all that is below it.
const Path = "/ui/"

//go:embed dist
var dist embed.FS

// file is one of dist in both of its forms.
type file struct {
	kind         string // its Content-Type
	etag         string
	plain, small []byte // small: gzip
}

// policy lets the page load from this member alone and run nothing but its own files. uPlot sets sizes by
// script, which the policy for styles does not see; no element has a style attribute in its text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var headers = map[string]string{
	"Content-Security-Policy":      policy,
	"X-Frame-Options":              "DENY",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Cache-Control":                "no-cache", // asked for again each time: 304 while it is the same build
	"Vary":                         "Accept-Encoding",
}

// Handler serves the files below Path with GET and HEAD.
func Handler() http.Handler {
	files := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		name := strings.TrimPrefix(r.URL.Path, Path)
		if name == "" {
			name = "index.html"
		}
		f, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		f.serve(w, r)
	})
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	data := f.plain
	etag := f.etag
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		data, etag = f.small, f.etag+"-gzip" // a strong ETag names bytes, not what they mean
		w.Header().Set("Content-Encoding", "gzip")
	}
	etag = `"` + etag + `"`
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.Header().Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the caller is gone
}

// load reads the embedded files; it cannot fail for those that a build has in it.
func load() map[string]file {
	files := map[string]file{}
	_ = fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		files[strings.TrimPrefix(name, "dist/")] = file{kindOf(name), hex.EncodeToString(sum[:8]), data, compress(data)}
		return nil
	})
	return files
}

// kindOf: the table of a machine's mime.types must not decide what a browser runs.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}

func compress(data []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is one of gzip's own
	_, _ = z.Write(data)                                    // memory takes everything
	_ = z.Close()
	return out.Bytes()
}
