package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// liveEvery is how often the live view looks; each look starts a process.
const liveEvery = time.Second

// live shows the cluster's state until the demo is told to stop: on a terminal `pgherd
// status`, redrawn in place; elsewhere a line for each change.
func (d *show) live() {
	d.out.say("")
	look := d.lineView()
	if d.terminal {
		look = d.tableView()
		d.out.say("The cluster now (Ctrl-C stops everything; logs are in %s/n*/agent.log):", d.c.dir)
	}
	for d.stop.soft.Err() == nil {
		look()
		select {
		case <-d.stop.soft.Done():
		case <-time.After(liveEvery):
		}
	}
}

func (d *show) lineView() func() {
	lost := false
	return func() {
		s, err := d.c.Status(d.stop.soft)
		if err == nil {
			lost = false
			d.c.sayChanges(s)
		} else if !lost && d.stop.soft.Err() == nil {
			lost = true
			d.out.say("no member answers: %s", err)
		}
	}
}

// tableView redraws what `pgherd status` prints over its last output.
func (d *show) tableView() func() {
	height := 0
	return func() {
		text, err := d.c.statusText(d.stop.soft)
		if d.stop.soft.Err() != nil {
			return
		}
		if err != nil {
			text = "no member answers: " + err.Error()
		}
		height = d.redraw(strings.TrimRight(text, "\n"), height)
	}
}

// redraw writes text over the height lines above the cursor and gives text's height.
// What the supervisor said meanwhile stands between, so it is drawn once more below.
func (d *show) redraw(text string, height int) int {
	d.out.mu.Lock()
	defer d.out.mu.Unlock()
	if d.out.count != 0 {
		height, d.out.count = 0, 0
	}
	if height > 0 {
		fmt.Fprintf(d.out.w, "\x1b[%dA\x1b[J", height)
	}
	width := terminalWidth(d.out.w)
	drawn := 0
	for line := range strings.Lines(text + "\n") {
		line = strings.TrimRight(line, "\n")
		if runes := []rune(line); width > 0 && len(runes) > width {
			line = string(runes[:width]) // a wrapped line would count twice
		}
		fmt.Fprintln(d.out.w, line)
		drawn++
	}
	return drawn
}

// statusText asks the members in turn for the table that people read.
func (c *Cluster) statusText(ctx context.Context) (text string, err error) {
	for _, m := range c.members {
		var out []byte
		if out, err = c.pgherd(ctx, m, "status"); err == nil {
			return string(out), nil
		}
	}
	return "", err
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
