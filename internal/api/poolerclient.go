package api

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

// Remote calls a member with a certificate of the cluster (pki.PoolerTLS).
func Remote(hostport string, config *tls.Config) *Client {
	d := net.Dialer{Timeout: 5 * time.Second}
	return &Client{base: "https://" + hostport, where: hostport, http: &http.Client{Transport: &http.Transport{
		DialContext: d.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: 5 * time.Second, Proxy: nil, IdleConnTimeout: time.Minute,
	}}}
}

// PoolerToken makes a token for a host that only pools.
func (c *Client) PoolerToken(ctx context.Context, lifetime time.Duration) (a TokenAnswer, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/tokens", TokenRequest{Lifetime: spec.Duration(lifetime), Pooler: true}, &a)
	return a, err
}

// PoolerJoin joins the cluster as a host that only pools.
func (c *Client) PoolerJoin(ctx context.Context, request PoolerJoinRequest) (a PoolerJoinAnswer, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/poolers/join", request, &a)
	return a, err
}

// AdmitPooler takes such a host in again that the records of a rebuilt store do not know.
func (c *Client) AdmitPooler(ctx context.Context, name, address string) (a Accepted, err error) {
	err = c.call(ctx, http.MethodPut, "/v1/poolers/"+url.PathEscape(name), PoolerAdmission{address}, &a)
	return a, err
}

// RemovePooler removes such a host for good.
func (c *Client) RemovePooler(ctx context.Context, name string) (a Accepted, err error) {
	err = c.call(ctx, http.MethodDelete, "/v1/poolers/"+url.PathEscape(name), nil, &a)
	return a, err
}

// PoolerState asks, as such a host, for what its endpoints go by.
func (c *Client) PoolerState(ctx context.Context) (v core.StoreView, err error) {
	err = c.call(ctx, http.MethodGet, PoolerStatePath, nil, &v)
	return v, err
}

// PutPoolerRecord writes the host's own record.
func (c *Client) PutPoolerRecord(ctx context.Context, change PoolerChange) (w PoolerWritten, err error) {
	err = c.call(ctx, http.MethodPut, PoolerRecordPath, change, &w)
	return w, err
}

// DeletePoolerRecord takes it back.
func (c *Client) DeletePoolerRecord(ctx context.Context, expect int64) error {
	var a Accepted
	return c.call(ctx, http.MethodDelete, PoolerRecordPath+"?expect="+strconv.FormatInt(expect, 10), nil, &a)
}

// PoolerRenew asks for a certificate for a new key.
func (c *Client) PoolerRenew(ctx context.Context, csr []byte) (r PoolerRenewed, err error) {
	err = c.call(ctx, http.MethodPost, PoolerRenewPath, PoolerRenewRequest{string(csr)}, &r)
	return r, err
}
