package peer

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"
)

const eventsSilent = 25 * time.Second // a stream that lives says something every ten

// Events reads a stream of server-sent events from another member and calls f with the data of each, until ctx or the
// stream ends.
func (c *Client) Events(ctx context.Context, hostport, path string, f func(data []byte)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+hostport+path, nil)
	if err != nil {
		return fmt.Errorf("member at %s: %w", hostport, err)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("member at %s: %w", hostport, short(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("member at %s: it answers %s", hostport, answer.Status)
	}
	silent := time.AfterFunc(eventsSilent, cancel)
	defer silent.Stop()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, answerBytesMax)
	for lines.Scan() {
		silent.Reset(eventsSilent)
		if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			f(data)
		}
	}
	return lines.Err()
}
