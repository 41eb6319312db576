package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/store/records"
)

// A stream of PoolerWatchPath says nothing but that something has changed: what is so, the host asks then. It is
// shorter of breath than members' WatchPath, because a handover waits for who has not heard of it.
const (
	poolerAlive  = 2 * time.Second // between comments
	poolerSilent = 5 * time.Second // after which the host takes the stream for dead
	poolerFirst  = 2 * time.Second // the same before its first line, which comes at once
)

const poolerNews = "data: changed\n\n"

func (s *Server) getPoolerWatch(w http.ResponseWriter, r *http.Request) {
	if _, _, _, err := s.pooler(r); err != nil {
		asProblem(err).write(w)
		return
	}
	watcher, _, err := s.hub.join("") // counts with the others, and ends when the server stops
	if err != nil {
		asProblem(err).write(w)
		return
	}
	defer s.hub.leave(watcher)
	hints := s.b.Store.Watch(r.Context(), func(key string) bool { return !strings.HasPrefix(key, records.PoolerPrefix) })
	stream := newStream(w)
	alive := time.NewTicker(poolerAlive)
	defer alive.Stop()
	for text := poolerNews; stream.send(text) == nil; {
		var open bool
		select {
		case _, open = <-hints:
			text = poolerNews
		case _, open = <-watcher.events:
			text = poolerNews
		case <-alive.C:
			text, open = ": alive\n\n", true
		case <-r.Context().Done():
		}
		if !open {
			return
		}
	}
}

// PoolerWatch calls f whenever something may have changed, until ctx or the stream ends.
func (c *Client) PoolerWatch(ctx context.Context, f func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(poolerFirst, cancel)
	defer silent.Stop()
	body, err := c.openStream(ctx, PoolerWatchPath, "")
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		silent.Reset(poolerSilent)
		if strings.HasPrefix(lines.Text(), "data:") {
			f()
		}
	}
	if err = lines.Err(); err == nil {
		err = io.EOF
	}
	return fmt.Errorf("%s: the watch ended: %w", c.where, err)
}
