package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/internal/demo"
)

// viewer asks members as somebody with a viewer's certificate, and as somebody with none.
type viewer struct {
	c     *demo.Cluster
	roots *x509.CertPool
	cert  tls.Certificate
}

func newViewer(ctx context.Context, c *demo.Cluster) (*viewer, error) {
	dir, err := os.MkdirTemp("", "pgherd-bench-viewer-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := c.Pgherd(ctx, "viewer", "create", "bench", "--dir", dir); err != nil {
		return nil, err
	}
	v := &viewer{c: c, roots: x509.NewCertPool()}
	ca, err := os.ReadFile(filepath.Join(dir, "pgherd-ca.crt"))
	if err != nil {
		return nil, err
	}
	v.roots.AppendCertsFromPEM(ca)
	v.cert, err = tls.LoadX509KeyPair(filepath.Join(dir, "bench.crt"), filepath.Join(dir, "bench.key"))
	return v, err
}

// client keeps connections unless each request is to have its own.
func (v *viewer) client(known, fresh bool) *http.Client {
	config := &tls.Config{RootCAs: v.roots}
	if known {
		config.Certificates = []tls.Certificate{v.cert}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: fresh, MaxIdleConnsPerHost: 100}}
}

func (v *viewer) url(name, path string) string {
	return "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(v.c.PortsOf(name).API)) + path
}

func ask(ctx context.Context, client *http.Client, url string) (body string, status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", 0, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), answer.StatusCode, err
}

// load asks at a steady rate, whatever the answers take, and gives how long each took from when it was due, in ms.
func (v *viewer) load(ctx context.Context, name, path string, rate int, length time.Duration, fresh bool) (took []float64, err error) {
	client, url := v.client(false, fresh), v.url(name, path)
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var asked sync.WaitGroup
	began := time.Now()
	for i := range int(length.Seconds() * float64(rate)) {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		asked.Go(func() {
			_, status, one := ask(ctx, client, url)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(due).Seconds()*1000)
			if one == nil && status != http.StatusOK {
				one = fmt.Errorf("%s answers %d", url, status)
			}
			err = errors.Join(err, one)
		})
	}
	asked.Wait()
	return took, err
}

func percentile(values []float64, p int) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

// tick is what a tick of the member's loop takes on average over a while, in seconds.
func (v *viewer) tick(ctx context.Context, name string, length time.Duration) (float64, error) {
	client := v.client(true, false)
	defer client.CloseIdleConnections()
	look := func() (sum, count float64, err error) {
		text, status, err := ask(ctx, client, v.url(name, "/metrics"))
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("/metrics answers %d", status)
		}
		return sample(text, "pgherd_tick_seconds_sum"), sample(text, "pgherd_tick_seconds_count"), err
	}
	sum, count, err := look()
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(length):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, n, err := look()
	if err == nil && n == count {
		err = errors.New("the loop stands still")
	}
	return (after - sum) / (n - count), err
}

func sample(text, name string) float64 {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name+"{") || strings.HasPrefix(line, name+" ") {
			value, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " ")+1:]), 64)
			return value
		}
	}
	return 0
}

const (
	dashboards  = 5
	scrapeEvery = 5 * time.Second
	behindEach  = 30
	writers     = 4
)

// lookAt has dashboards, scrapes, clients and writers at work until stop is called.
func (v *viewer) lookAt(ctx context.Context, c *demo.Cluster) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	var open []*pgx.Conn
	stop = func() {
		cancel()
		parts.Wait()
		for _, conn := range open {
			_ = conn.Close(context.Background())
		}
	}
	load, err := c.StartLoad(ctx, writers)
	if err != nil {
		stop()
		return nil, err
	}
	end := stop
	stop = func() { load.Stop(); end() }
	for _, name := range c.Names() {
		for range dashboards {
			parts.Go(func() { _, _, _ = ask(ctx, v.client(true, false), v.url(name, "/v1/watch/status")) })
		}
		parts.Go(func() {
			client := v.client(true, false)
			for ctx.Err() == nil {
				_, _, _ = ask(ctx, client, v.url(name, "/metrics"))
				select {
				case <-time.After(scrapeEvery):
				case <-ctx.Done():
				}
			}
		})
		for range behindEach {
			conn, err := pgx.Connect(ctx, c.EndpointDSN(name))
			if err != nil {
				stop()
				return nil, err
			}
			open = append(open, conn)
		}
	}
	return stop, nil
}
