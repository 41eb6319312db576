package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
)

const waitAgain = 200 * time.Millisecond // between attempts to reach an agent that does not answer

// goal is what is waited for. met says whether it is so, and what is so, in words.
type goal struct {
	text string
	met  func(api.Endpoints) (so bool, words string)
}

// WaitAnswer is what wait answers with --json.
type WaitAnswer struct {
	For     string  `json:"for"`
	Epoch   uint64  `json:"epoch"`
	State   string  `json:"state"`
	Text    string  `json:"text"`
	Seconds float64 `json:"seconds"`
}

func (a *app) waitCommand() *cobra.Command {
	what, timeout := "", time.Minute
	cmd := &cobra.Command{
		Use:   "wait --for writable|readable|healthy|member=NAME|primary=NAME",
		Short: "wait until the database is ready, with a deadline",
		Long: "writable: a primary accepts writes. readable: a member accepts reads. healthy: and every member does its part, commits are kept on as many standbys as the spec asks for, and all who are to vote in the store do. " +
			"member=NAME: that member does its part (primary that accepts writes, standby that streams, witness that answers). primary=NAME: it accepts writes.\n\n" +
			"An agent that does not answer yet is waited for, too.",
		Example: "  pgherd wait --for writable --timeout 2m && psql -f schema.sql",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := parseGoal(what)
			if err != nil {
				return err
			}
			if timeout <= 0 || timeout > 24*time.Hour {
				return usage("", "timeout %s: want more than 0, up to 24h", timeout)
			}
			return a.wait(cmd.Context(), g, timeout)
		},
	}
	cmd.Flags().StringVar(&what, "for", "", "what to wait for")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "give up after this")
	return cmd
}

func parseGoal(text string) (goal, error) {
	kind, name, named := strings.Cut(text, "=")
	met, ok := goals[kind]
	if !ok || named != (kind == "member" || kind == "primary") || named && name == "" {
		return goal{}, usage("want writable, readable, healthy, member=NAME or primary=NAME", "--for %q is not known", text)
	}
	return goal{text, func(e api.Endpoints) (bool, string) { return met(e, name) }}, nil
}

var goals = map[string]func(e api.Endpoints, name string) (bool, string){
	"writable": func(e api.Endpoints, _ string) (bool, string) {
		if e.RW == nil {
			return false, "nobody accepts writes"
		}
		return e.State != api.EndpointsSwitching, e.RW.Member + " accepts writes"
	},
	"readable": func(e api.Endpoints, _ string) (bool, string) {
		switch {
		case len(e.RO) > 0:
			return true, e.RO[0].Member + " accepts reads"
		case e.RW != nil:
			return true, e.RW.Member + " accepts reads"
		}
		return false, "nobody accepts reads"
	},
	"healthy": func(e api.Endpoints, _ string) (bool, string) {
		for _, m := range e.Members {
			if so, words := doesItsPart(e, m); !so {
				return false, words
			}
		}
		if !e.Durable {
			return false, "commits are not kept on enough standbys yet"
		}
		if len(e.NotVoting) > 0 {
			return false, strings.Join(e.NotVoting, ", ") + ": no vote in the store yet"
		}
		return e.State == api.EndpointsReady, plural(len(e.Members), "member")
	},
	"member": func(e api.Endpoints, name string) (bool, string) {
		for _, m := range e.Members {
			if m.Name == name {
				return doesItsPart(e, m)
			}
		}
		return false, "no member is called " + name
	},
	"primary": func(e api.Endpoints, name string) (bool, string) {
		if e.RW == nil {
			return false, "nobody accepts writes"
		}
		return e.RW.Member == name, e.RW.Member + " accepts writes"
	},
}

func doesItsPart(e api.Endpoints, m api.EndpointMember) (bool, string) {
	words := fmt.Sprintf("%s is a %s: %s", m.Name, m.Role, m.State)
	switch m.Role {
	case api.RolePrimary:
		return e.RW != nil && e.RW.Member == m.Name, fmt.Sprintf("%s is the primary: %s", m.Name, m.State)
	case api.RoleStandby:
		return m.State == api.StateStreaming, words
	}
	return m.State == api.StateRunning, words
}

var errMet = errors.New("it is so")

// wait follows the agent's events until the goal is met.
func (a *app) wait(ctx context.Context, g goal, timeout time.Duration) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	began := a.now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	last := api.WatchEvent{}
	for {
		err = c.Watch(ctx, last.ID, func(e api.WatchEvent) error {
			last = e
			if so, _ := g.met(e.Endpoints); so {
				return errMet
			}
			return nil
		})
		switch {
		case errors.Is(err, errMet):
			return a.waited(g, last.Endpoints, a.now().Sub(began))
		case isFinal(err):
			return err
		}
		if !pauseFor(ctx, waitAgain) {
			return waitFailed(g, last, timeout, err)
		}
	}
}

// pauseFor gives false when ctx ends before.
func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *app) waited(g goal, e api.Endpoints, took time.Duration) error {
	_, words := g.met(e)
	return a.answer(WaitAnswer{g.text, e.Epoch, e.State, words, took.Seconds()}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s (%s, term %d)\n", g.text, words, e.State, e.Epoch)
	})
}

func waitFailed(g goal, last api.WatchEvent, timeout time.Duration, err error) error {
	if last.ID == "" {
		if !errors.Is(err, api.ErrNoAgent) {
			return failed("`pgherd status` and `pgherd explain` say why", "not %s after %s: the agent said nothing of the cluster yet", g.text, timeout)
		}
		return fmt.Errorf("not %s after %s: %w", g.text, timeout, err)
	}
	_, words := g.met(last.Endpoints)
	return failed("`pgherd status` and `pgherd explain` say why", "not %s after %s: %s (%s, term %d)", g.text, timeout, words, last.State, last.Epoch)
}
