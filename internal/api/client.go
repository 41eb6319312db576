package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/rebuild"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/whatif"
)

// ErrNoAgent: nothing answers at the agent's socket or address. Nothing was sent.
var ErrNoAgent = errors.New("no agent answers")

// ErrLost: the connection broke or time ran out after the request was sent. A
// mutation may have taken effect.
var ErrLost = errors.New("the answer did not come")

const answerBytesMax = 16 << 20

// Client calls one member's API. A refusal or failure is a *Problem.
type Client struct {
	base  string
	where string
	http  *http.Client
}

// Local calls the agent on this machine through its unix socket (SocketPath).
func Local(socket string) *Client {
	var d net.Dialer
	return &Client{base: "http://pgherd", where: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
	}}}
}

// Pinned calls a member of the cluster whose CA has this fingerprint, to join.
func Pinned(hostport string, fingerprint [32]byte) *Client {
	d := net.Dialer{Timeout: 5 * time.Second}
	return &Client{base: "https://" + hostport, where: hostport, http: &http.Client{Transport: &http.Transport{
		DialContext: d.DialContext, TLSClientConfig: pki.PinnedTLS(fingerprint), TLSHandshakeTimeout: 5 * time.Second, Proxy: nil,
	}}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Member asks the agent about itself.
func (c *Client) Member(ctx context.Context) (s peer.Status, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/member", nil, &s)
	return s, err
}

// Status asks for the whole cluster.
func (c *Client) Status(ctx context.Context) (s ClusterStatus, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Endpoints asks where the database is to be reached.
func (c *Client) Endpoints(ctx context.Context) (e Endpoints, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/endpoints", nil, &e)
	return e, err
}

// WhatIf says what would happen: fault is as whatif.Parse reads it, or EachFault.
func (c *Client) WhatIf(ctx context.Context, fault string) (a []whatif.Answer, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/whatif?fault="+url.QueryEscape(fault), nil, &a)
	return a, err
}

// Explain asks for the last decisions of all members, or of one.
func (c *Client) Explain(ctx context.Context, member string) (e []Explanation, err error) {
	path := "/v1/explain"
	if member != "" {
		path += "?member=" + url.QueryEscape(member)
	}
	err = c.call(ctx, http.MethodGet, path, nil, &e)
	return e, err
}

// Events asks for the newest limit events.
func (c *Client) Events(ctx context.Context, limit int, local bool) (e Events, err error) {
	path := "/v1/events?limit=" + strconv.Itoa(limit)
	if local {
		path += "&local=1"
	}
	err = c.call(ctx, http.MethodGet, path, nil, &e)
	return e, err
}

// Forks asks for what all members, or one, keep of histories that were given up.
func (c *Client) Forks(ctx context.Context, member string) (f Forks, err error) {
	path := "/v1/forks"
	if member != "" {
		path += "?member=" + url.QueryEscape(member)
	}
	err = c.call(ctx, http.MethodGet, path, nil, &f)
	return f, err
}

// Fork asks for one of them.
func (c *Client) Fork(ctx context.Context, member, id string) (f ForkDetail, err error) {
	err = c.call(ctx, http.MethodGet, forkPath(member, id), nil, &f)
	return f, err
}

// RemoveFork asks its member to drop it for good.
func (c *Client) RemoveFork(ctx context.Context, member, id string) (a Accepted, err error) {
	err = c.call(ctx, http.MethodDelete, forkPath(member, id), nil, &a)
	return a, err
}

// Spec reads the cluster's spec.
func (c *Client) Spec(ctx context.Context) (d SpecDocument, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/spec", nil, &d)
	return d, err
}

// PutSpec changes it, or says what the change would do.
func (c *Client) PutSpec(ctx context.Context, change SpecChange, dryRun bool) (r SpecResult, err error) {
	path := "/v1/spec"
	if dryRun {
		path += "?dry_run=1"
	}
	err = c.call(ctx, http.MethodPut, path, change, &r)
	return r, err
}

// Recover asks what a lost store could be rebuilt from, or rebuilds it.
func (c *Client) Recover(ctx context.Context, q rebuild.Question) (v rebuild.Verdict, err error) {
	return v, c.call(ctx, http.MethodPost, RecoveryPath, q, &v)
}

// Begin begins an operation.
func (c *Client) Begin(ctx context.Context, request OperationRequest) (op core.Operation, err error) {
	return op, c.call(ctx, http.MethodPost, "/v1/operations", request, &op)
}

// Operation asks for the current or last operation.
func (c *Client) Operation(ctx context.Context) (op core.Operation, err error) {
	return op, c.call(ctx, http.MethodGet, "/v1/operations/current", nil, &op)
}

// Cancel takes back what is planned.
func (c *Client) Cancel(ctx context.Context) (a Accepted, err error) {
	return a, c.call(ctx, http.MethodDelete, "/v1/operations/current", nil, &a)
}

// Drain takes a member out of service.
func (c *Client) Drain(ctx context.Context, member string, request DrainRequest) (a Accepted, err error) {
	return a, c.call(ctx, http.MethodPut, "/v1/members/"+url.PathEscape(member)+"/drain", request, &a)
}

// Undrain puts it back.
func (c *Client) Undrain(ctx context.Context, member string) (a Accepted, err error) {
	return a, c.call(ctx, http.MethodDelete, "/v1/members/"+url.PathEscape(member)+"/drain", nil, &a)
}

// Request asks a member to reinit or restart.
func (c *Client) Request(ctx context.Context, member, kind string) (a Accepted, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/members/"+url.PathEscape(member)+"/requests", MemberRequest{kind}, &a)
	return a, err
}

// Remove removes a member for good.
func (c *Client) Remove(ctx context.Context, member string) (a Accepted, err error) {
	err = c.call(ctx, http.MethodDelete, "/v1/members/"+url.PathEscape(member), nil, &a)
	return a, err
}

// LogLevel is that of the member's log; with a level it is changed.
func (c *Client) LogLevel(ctx context.Context, level string) (l LogLevel, err error) {
	if level == "" {
		err = c.call(ctx, http.MethodGet, LogPath, nil, &l)
		return l, err
	}
	err = c.call(ctx, http.MethodPut, LogPath, LogLevel{level}, &l)
	return l, err
}

// Pause switches the autopilot off, Resume on again.
func (c *Client) Pause(ctx context.Context) (a Accepted, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/pause", nil, &a)
	return a, err
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context) (a Accepted, err error) {
	err = c.call(ctx, http.MethodDelete, "/v1/pause", nil, &a)
	return a, err
}

// Token makes a join token.
func (c *Client) Token(ctx context.Context, lifetime time.Duration, witness bool) (a TokenAnswer, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/tokens", TokenRequest{Lifetime: spec.Duration(lifetime), Witness: witness}, &a)
	return a, err
}

// CreateAccess makes an access token, ListAccess shows those that are good, RevokeAccess takes one back.
func (c *Client) CreateAccess(ctx context.Context, request AccessRequest) (a AccessAnswer, err error) {
	return a, c.call(ctx, http.MethodPost, AccessPath, request, &a)
}

// ListAccess: see CreateAccess.
func (c *Client) ListAccess(ctx context.Context) (list []Access, err error) {
	return list, c.call(ctx, http.MethodGet, AccessPath, nil, &list)
}

// RevokeAccess: see CreateAccess.
func (c *Client) RevokeAccess(ctx context.Context, id string) (a Accepted, err error) {
	return a, c.call(ctx, http.MethodDelete, AccessPath+"/"+url.PathEscape(id), nil, &a)
}

// Join joins the cluster.
func (c *Client) Join(ctx context.Context, request JoinRequest) (a JoinAnswer, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/join", request, &a)
	return a, err
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var data []byte
	if in != nil {
		var err error
		if data, err = json.Marshal(in); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return c.sendError(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax))
	if err != nil {
		return fmt.Errorf("%s: %w: %w", c.where, ErrLost, err)
	}
	return c.decode(answer, text, out)
}

// sendError tells whether the request can have had an effect.
func (c *Client) sendError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" || errors.Is(err, pki.ErrWrongCA) {
		return fmt.Errorf("%s: %w: %w", c.where, ErrNoAgent, err)
	}
	return fmt.Errorf("%s: %w: %w", c.where, ErrLost, err)
}

func (c *Client) decode(answer *http.Response, text []byte, out any) error {
	if answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, out); err != nil {
			return fmt.Errorf("%s: its answer cannot be read: %w", c.where, err)
		}
		return nil
	}
	p := &Problem{}
	if json.Unmarshal(text, p) != nil || p.Title == "" {
		p = &Problem{Title: answer.Status, Code: "not_pgherd", Detail: "this is not an answer of pgherd"}
	}
	p.Status = answer.StatusCode
	return p
}

// Viewer has a viewer's key signed.
func (c *Client) Viewer(ctx context.Context, request ViewerRequest) (a ViewerAnswer, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/viewers", request, &a)
	return a, err
}
