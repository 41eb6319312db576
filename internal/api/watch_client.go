package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/pgherd/pgherd/internal/journal"
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
	err = readEvents(body, func(id, name, data string) error {
		e := WatchEvent{ID: id, Name: name}
		if err := json.Unmarshal([]byte(data), &e.Endpoints); err != nil {
			return err
		}
		return f(e)
	})
	if err != nil {
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

// Live calls status and event for what LivePath tells, until ctx ends, the stream ends, or one of them gives an error. The stream's
// end is io.EOF.
func (c *Client) Live(ctx context.Context, status func(ClusterStatus), happened func(journal.Event)) error {
	body, err := c.openStream(ctx, LivePath, "")
	if err != nil {
		return err
	}
	defer body.Close()
	return readEvents(body, func(_, name, data string) error {
		switch name {
		case LiveStatus:
			var s ClusterStatus
			if err := json.Unmarshal([]byte(data), &s); err != nil {
				return err
			}
			status(s)
		case LiveEvent:
			var e journal.Event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				return err
			}
			happened(e)
		}
		return nil
	})
}

// readEvents reads server-sent events as our own server writes them: one line of data each.
func readEvents(from io.Reader, f func(id, name, data string) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 4<<20)
	var id, name, data string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if id != "" {
				if err := f(id, name, data); err != nil {
					return err
				}
			}
			id, name, data = "", "", ""
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.EOF
}
