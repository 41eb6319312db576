package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/pgherd/pgherd/internal/pki"
)

// MetricsPath is what Prometheus scrapes. Its path is the field's, as those of health are.
const MetricsPath = "/metrics"

// getMetrics is for viewers: numbers tell of lag, losses and load, which is nobody else's business. HEAD comes with GET.
func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.admit(w, r, roleFor("GET "+MetricsPath)); !ok {
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	s.b.Metrics.ServeHTTP(w, r)
}

// ViewerRequest is the body of POST /v1/viewers.
type ViewerRequest struct {
	Name string `json:"name"`
	CSR  string `json:"csr"` // PEM
}

// ViewerAnswer is what a viewer needs besides its key.
type ViewerAnswer struct {
	Name    string `json:"name"`
	Cert    string `json:"cert"`
	CACert  string `json:"ca_cert"`
	Expires string `json:"expires"` // RFC 3339
}

// postViewer signs: nothing is written anywhere, and nothing can take it back before its end.
func (s *Server) postViewer(r *http.Request, by string) (any, error) {
	var request ViewerRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	now := s.b.Now()
	cert, err := s.ca.SignViewer([]byte(request.CSR), request.Name, now, pki.ViewerLifetime)
	if err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "csr_invalid", "", "%v", err)
	}
	expires, err := pki.Expires(cert)
	if err != nil {
		return nil, fmt.Errorf("viewer %s: %w", request.Name, err)
	}
	s.b.Log.Info("a viewer's certificate was made", "viewer", request.Name, "by", by, "expires", expires.UTC())
	return ViewerAnswer{Name: request.Name, Cert: string(cert), CACert: string(s.ca.CertPEM()), Expires: expires.UTC().Format(time.RFC3339)}, nil
}
