package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	watchSilence = 30 * time.Second // the members say something every 10 s
	watchAgain   = 200 * time.Millisecond
	watchLater   = 2 * time.Second // after a whole round without success
)

// endpoints is what is read of an event.
type endpoints struct {
	Epoch uint64 `json:"epoch"`
	State string `json:"state"`
}

// watch follows the event stream of one member after the other.
func (p *Pool) watch(ctx context.Context, w Watch) {
	transport := &http.Transport{TLSClientConfig: w.TLS, TLSHandshakeTimeout: connectLimit, ResponseHeaderTimeout: connectLimit}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	last := make([]string, len(w.URLs))
	for n := 0; len(w.URLs) > 0; n++ {
		i := n % len(w.URLs)
		err := p.watchOne(ctx, client, w.URLs[i], w.Token, &last[i])
		p.o.Log.Debug("pgherd client: a watch ended", "url", w.URLs[i], "error", err)
		again := watchAgain
		if i == len(w.URLs)-1 {
			again = watchLater
		}
		if !sleep(ctx, again) {
			return
		}
	}
}

func (p *Pool) watchOne(ctx context.Context, client *http.Client, url, token string, last *string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(watchSilence, cancel)
	defer silence.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+"/v1/watch", nil)
	if err != nil {
		return err
	}
	if token != "" {
		if request.URL.Scheme != "https" {
			return errors.New("the access token is sent over TLS only")
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if *last != "" {
		request.Header.Set("Last-Event-ID", *last)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		silence.Reset(watchSilence)
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			*last = value
		case "data":
			var e endpoints
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				return err
			}
			p.heard(e)
		}
	}
	return lines.Err()
}

// heard: a member's word makes the pool hold, or look; that a member leads, the pool believes only when it has asked.
func (p *Pool) heard(e endpoints) {
	if e.State == "switching" {
		p.announce(time.Now().Add(p.o.Hold))
		return
	}
	p.announce(time.Time{})
}
