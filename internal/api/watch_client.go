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
// the newest event already seen, or "". What is told was so after the call began. The stream's end is io.EOF: a reason to come back.
func (c *Client) Watch(ctx context.Context, last string, f func(WatchEvent) error) error {
	body, err := c.openStream(ctx, WatchPath+"?fresh=1", last)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := readEvents(body, f); err != nil {
		return fmt.Errorf("%s: the watch ended: %w", c.where, err)
	}
	return nil
}

// openStream asks for server-sent events, of those after the one with ID last, or "". The caller closes what they come from.
func (c *Client) openStream(ctx context.Context, path, last string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.sendError(err)
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax))
		return nil, c.decode(answer, text, nil)
	}
	return answer.Body, nil
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
