package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// Bytes; a status of ten members' slots and senders is some ten kilobytes.
const answerBytesMax = 4 << 20

// Client asks other members over mutual TLS. It keeps one idle HTTP/1.1
// connection per member: one request a second then costs no handshake. HTTP/2
// would save nothing here and costs goroutines and memory per connection.
type Client struct{ http *http.Client }

// New makes a client from pki.ClientTLS.
func New(config *tls.Config) *Client {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
	return &Client{http: &http.Client{
		Transport: &http.Transport{
			DialContext:           dialer.DialContext,
			TLSClientConfig:       config.Clone(),
			TLSHandshakeTimeout:   3 * time.Second,
			MaxIdleConnsPerHost:   1,
			IdleConnTimeout:       time.Minute,
			ResponseHeaderTimeout: 5 * time.Second,
			DisableCompression:    true,
			Proxy:                 nil, // members are never reached through a proxy
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks the member whose API is at hostport. ctx bounds the call.
func (c *Client) Status(ctx context.Context, hostport string) (Status, error) {
	var s Status
	err := c.Get(ctx, hostport, "/v1/member", &s)
	return s, err
}

// Vouch asks the member to vouch for our lease; nil is its promise.
func (c *Client) Vouch(ctx context.Context, hostport string, v core.Vouch) error {
	return c.Post(ctx, hostport, "/v1/vouch", v, &struct{}{})
}

// Post sends JSON to a path of another member's API and decodes its answer. An error does not say that
// nothing was done there.
func (c *Client) Post(ctx context.Context, hostport, path string, from, into any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, hostport, path, bytes.NewReader(data), into)
}

// Get asks for any path of another member's API and decodes its JSON.
func (c *Client) Get(ctx context.Context, hostport, path string, into any) error {
	return c.call(ctx, http.MethodGet, hostport, path, nil, into)
}

func (c *Client) call(ctx context.Context, method, hostport, path string, question io.Reader, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, "https://"+hostport+path, question)
	if err != nil {
		return fmt.Errorf("member at %s: %w", hostport, err)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("member at %s: %w", hostport, short(err))
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax)) // to its end, or the connection is not kept
	if err != nil {
		return fmt.Errorf("member at %s: %w", hostport, short(err))
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("member at %s: it answers %s%s", hostport, answer.Status, detail(body))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("member at %s: its answer cannot be read: %w", hostport, err)
	}
	return nil
}

// detail gives the words of a problem (RFC 9457).
func detail(body []byte) string {
	var problem struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &problem) != nil || problem.Title == "" {
		return ""
	}
	return strings.TrimSuffix(": "+problem.Title+": "+problem.Detail, ": ")
}

// short takes away the method and URL that net/http puts before each error.
func short(err error) error {
	type urlError interface{ Unwrap() error }
	if u, ok := err.(urlError); ok {
		return u.Unwrap()
	}
	return err
}
