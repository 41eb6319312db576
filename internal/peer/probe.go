package peer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// The probe: a joining member listens on its API port and tells the cluster a
// secret over pinned TLS. The cluster's member dials the address that the others
// would dial and sends a challenge; only the joining process can answer it with an
// HMAC under that secret. No certificate exists yet, and none is needed: nothing
// but the challenge and its answer is sent.

const (
	probePath  = "/v1/probe"
	probeBytes = 32
)

// ErrNotProbed: something answers at the address, but not the joining member.
var ErrNotProbed = errors.New("another program answers there")

// ProbeListener answers probes until it is closed.
type ProbeListener struct {
	secret []byte
	server *http.Server
	addr   net.Addr
}

// ListenProbe listens at addr ("host:port", as listen.api).
func ListenProbe(addr string) (*ProbeListener, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &ProbeListener{secret: make([]byte, probeBytes), addr: listener.Addr()}
	rand.Read(p.secret) // never fails since Go 1.24
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+probePath+"/{challenge}", p.answer)
	p.server = &http.Server{
		Handler: mux, ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second,
		IdleTimeout: time.Second, MaxHeaderBytes: 4 << 10,
	}
	go p.server.Serve(listener) // ends with Close
	return p, nil
}

// Nonce is the secret to tell the cluster, hexadecimal.
func (p *ProbeListener) Nonce() string { return hex.EncodeToString(p.secret) }

// Addr is where it listens.
func (p *ProbeListener) Addr() net.Addr { return p.addr }

// Close frees the port.
func (p *ProbeListener) Close() error { return p.server.Close() }

func (p *ProbeListener) answer(w http.ResponseWriter, r *http.Request) {
	challenge, err := hex.DecodeString(r.PathValue("challenge"))
	if err != nil || len(challenge) != probeBytes {
		http.Error(w, "not a challenge", http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, hex.EncodeToString(respond(p.secret, challenge)))
}

// respond names its purpose, so that the answer means nothing anywhere else.
func respond(secret, challenge []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("pgherd join probe\x00"))
	mac.Write(challenge)
	return mac.Sum(nil)
}

// Probe says whether the joining member that told nonce answers at hostport. The
// error is ErrNotProbed (wrapped) when something else does.
func Probe(ctx context.Context, hostport, nonce string) error {
	secret, err := hex.DecodeString(nonce)
	if err != nil || len(secret) != probeBytes {
		return errors.New("the probe's nonce is not 32 bytes, hexadecimal")
	}
	challenge := make([]byte, probeBytes)
	rand.Read(challenge)
	text, err := fetchProbe(ctx, "http://"+hostport+probePath+"/"+hex.EncodeToString(challenge))
	if err != nil {
		return err
	}
	got, err := hex.DecodeString(text)
	if err != nil || !hmac.Equal(got, respond(secret, challenge)) {
		return fmt.Errorf("%s: %w", hostport, ErrNotProbed)
	}
	return nil
}

func fetchProbe(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", short(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 2*sha256.Size))
	return string(text), err
}
