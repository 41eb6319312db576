package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/top"
)

func (a *app) topCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "top",
		Example: "  pgherd top",
		Short:   "watch the cluster in a terminal, live",
		Long:    "Who leads and who follows, how far they are behind, what is written, where endpoints send clients, the operation under way, what needs attention and what happened. q ends it. NO_COLOR is heeded.",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, isFile := a.stdout.(*os.File)
			in, fromFile := a.stdin.(*os.File)
			if a.json || !isFile || !fromFile || !term.IsTerminal(int(out.Fd())) || !term.IsTerminal(int(in.Fd())) {
				return usage("`pgherd status` says the same once, with --json for programs", "this needs a terminal")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.watchTop(cmd.Context(), c, in, out)
		},
	}
}

// watchTop has the terminal to itself until a key ends it, and leaves it as it was.
func (a *app) watchTop(ctx context.Context, c *api.Client, in, out *os.File) error {
	was, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("the terminal: %w", err)
	}
	defer func() {
		_ = term.Restore(int(in.Fd()), was)
		fmt.Fprint(out, showCursor+leaveScreen)
	}()
	fmt.Fprint(out, enterScreen+hideCursor)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		untilQuit(in)
	}()
	told := make(chan func(*top.Model), 64)
	go followTop(ctx, c, told)
	m, tick := &top.Model{}, time.NewTicker(time.Second) // for the clock, and for a window of another size
	defer tick.Stop()
	for {
		if err := a.drawTop(m, out); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case change := <-told:
			change(m)
			for more := true; more; { // what is waiting is one picture
				select {
				case change := <-told:
					change(m)
				default:
					more = false
				}
			}
		}
	}
}

const (
	enterScreen, leaveScreen = "\x1b[?1049h", "\x1b[?1049l"
	hideCursor, showCursor   = "\x1b[?25l", "\x1b[?25h"
	toTheBegin, toTheEnd     = "\x1b[H", "\x1b[J" // the cursor to the first place; clear from there on
	endOfLine                = "\x1b[K\r\n"       // clear what an older picture left
)

func (a *app) drawTop(m *top.Model, out *os.File) error {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil {
		return fmt.Errorf("the terminal: %w", err)
	}
	lines := m.Lines(top.Size{Width: width, Height: height, Plain: os.Getenv("NO_COLOR") != ""}, a.now())
	_, err = io.WriteString(out, toTheBegin+strings.Join(lines, endOfLine)+"\x1b[K"+toTheEnd)
	return err
}

// untilQuit returns at q, Ctrl-C, Ctrl-D or the end of the input.
func untilQuit(in io.Reader) {
	key := make([]byte, 1)
	for {
		if n, err := in.Read(key); err != nil || n == 1 && strings.ContainsRune("qQ\x03\x04", rune(key[0])) {
			return
		}
	}
}

// followTop tells what the agent tells, and comes back when that ends.
func followTop(ctx context.Context, c *api.Client, told chan<- func(*top.Model)) {
	tell := func(change func(*top.Model)) {
		select {
		case told <- change:
		case <-ctx.Done():
		}
	}
	if before, err := c.Events(ctx, 50, false); err == nil {
		for _, e := range before.Events {
			tell(func(m *top.Model) { m.Event(e) })
		}
	}
	for ctx.Err() == nil {
		err := c.Live(ctx,
			func(s api.ClusterStatus) { tell(func(m *top.Model) { m.Status(s) }) },
			func(e journal.Event) { tell(func(m *top.Model) { m.Event(e) }) })
		if errors.Is(err, io.EOF) {
			err = errors.New("the agent has ended the stream")
		}
		tell(func(m *top.Model) { m.Trouble(err.Error()) })
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}
