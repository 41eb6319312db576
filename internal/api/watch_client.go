package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// WatchEvent is one event of WatchPath.
type WatchEvent struct {
	ID   string
	Name string // of the constants Event...
	Endpoints
}

// Watch calls f for each event until ctx ends, the stream ends, or f gives an error. last is the ID of
// the newest event already seen, or "". The stream's end is io.EOF: a reason to come back.
func (c *Client) Watch(ctx context.Context, last string, f func(WatchEvent) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+WatchPath, nil)
	if err != nil {
		return err
	}
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return c.sendError(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax))
		return c.decode(answer, text, nil)
	}
	if err := readEvents(answer.Body, f); err != nil {
		return fmt.Errorf("%s: the watch ended: %w", c.where, err)
	}
	return nil
}

// readEvents reads server-sent events as our own server writes them: one line of data each.
func readEvents(from io.Reader, f func(WatchEvent) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	var e WatchEvent
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			e.ID = value
		case "event":
			e.Name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.Endpoints); err != nil {
				return err
			}
		case "":
			if e.ID != "" {
				if err := f(e); err != nil {
					return err
				}
			}
			e = WatchEvent{}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.EOF
}
