package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
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

// bytesText writes a size for people: 0 B, 512 B, 1.5 MB.
func bytesText(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n), "kMGTPE"
	i := -1
	for value >= step && i < len(units)-1 {
		value /= step
		i++
	}
	return fmt.Sprintf("%.1f %cB", value, units[i])
}

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
