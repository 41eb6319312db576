package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Post sends JSON to a path of another member's API and decodes its answer. An error does not say that
// nothing was done there.
func (c *Client) Post(ctx context.Context, hostport, path string, from, into any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+hostport+path, bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("member at %s: %w", hostport, err)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("member at %s: %w", hostport, short(err))
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax))
	if err != nil {
		return fmt.Errorf("member at %s: %w", hostport, short(err))
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("member at %s: it answers %s%s", hostport, answer.Status, detail(body))
	}
	return json.Unmarshal(body, into)
}
