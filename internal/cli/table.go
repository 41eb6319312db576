package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgherd/pgherd/internal/top"
)

// table prints rows in columns, two spaces between them, without trailing spaces.
func table(w io.Writer, rows [][]string) {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush() // a strings.Builder does not fail
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

func bytesText(n int64) string { return top.Bytes(float64(n)) }

// agoText says since when: "since 12:01:33 UTC, 2m10s ago".
func agoText(since string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, since)
	if err != nil || t.IsZero() {
		return ""
	}
	layout := "15:04:05 UTC"
	ago := now.Sub(t).Round(time.Second)
	if ago >= 24*time.Hour {
		layout = "2006-01-02 15:04 UTC"
		ago = ago.Round(time.Minute)
	}
	text := max(ago, 0).String()
	for _, zero := range []string{"m0s", "h0m"} { // 48h0m0s is 48h
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-len(zero)+1]
		}
	}
	return fmt.Sprintf("since %s, %s ago", t.UTC().Format(layout), text)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
