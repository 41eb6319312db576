package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/spec"
)

const specTimeout = 45 * time.Second // the agent lets PostgreSQL try the parameters

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "show or change the cluster's spec", Args: cobra.NoArgs, RunE: needsSubcommand}
	cmd.AddCommand(a.configShowCommand(), a.configSetCommand(), a.configEditCommand())
	return cmd
}

func (a *app) configShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Example: "  pgherd config show",
		Short:   "print the spec as YAML",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error {
				d, err := c.Spec(ctx)
				if err != nil {
					return err
				}
				return a.answer(d, func(w io.Writer) { fmt.Fprint(w, d.YAML) })
			})
		},
	}
}

// specEdit is one change of the spec on its way.
type specEdit struct {
	*app
	client      *api.Client
	dryRun, yes bool
}

func (a *app) editSpec(cmd *cobra.Command, e specEdit, change func(api.SpecDocument) (string, error)) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	e.app, e.client = a, c
	document, err := c.Spec(cmd.Context())
	if err != nil {
		return err
	}
	text, err := change(document)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), specTimeout)
	defer cancel()
	return e.apply(ctx, api.SpecChange{Revision: document.Revision, YAML: text})
}

func (a *app) configSetCommand() *cobra.Command {
	e := specEdit{yes: true}
	cmd := &cobra.Command{
		Use:     "set PATH=VALUE...",
		Short:   "change values of the spec; an empty value removes a parameter",
		Example: "  pgherd config set postgres.parameters.max_connections=200\n  pgherd config set durability=async lease.ttl=10s",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.editSpec(cmd, e, func(d api.SpecDocument) (string, error) { return setValues(d.Spec, args) })
		},
	}
	cmd.Flags().BoolVar(&e.dryRun, "dry-run", false, "only show what would change")
	return cmd
}

func setValues(c spec.Cluster, args []string) (string, error) {
	for _, arg := range args {
		path, value, ok := strings.Cut(arg, "=")
		if !ok || path == "" {
			return "", usage("", "%q: want PATH=VALUE", arg)
		}
		next, err := c.Set(path, value)
		if err != nil {
			return "", &exitError{ExitRefused, "", err}
		}
		c = next
	}
	return string(c.YAML()), nil
}

func (a *app) configEditCommand() *cobra.Command {
	e := specEdit{}
	cmd := &cobra.Command{
		Use:     "edit",
		Example: "  EDITOR=nano pgherd config edit",
		Short:   "edit the spec with $VISUAL or $EDITOR",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.editSpec(cmd, e, func(d api.SpecDocument) (string, error) { return a.edit(cmd.Context(), d.YAML) })
		},
	}
	cmd.Flags().BoolVar(&e.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&e.dryRun, "dry-run", false, "only show what would change")
	return cmd
}

// edit runs the editor on a temporary file.
func (a *app) edit(ctx context.Context, text string) (string, error) {
	f, err := os.CreateTemp("", "pgherd-spec-*.yaml") // mode 0600
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", err
	}
	// Through a shell, because $EDITOR may hold arguments; the file is one of its own.
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", editor()+` "$1"`, "sh", f.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stderr, a.stderr
	if err := cmd.Run(); err != nil {
		return "", failed("set EDITOR to an editor", "the editor failed: %w", err)
	}
	edited, err := os.ReadFile(f.Name())
	return string(edited), err
}

func editor() string {
	for _, name := range []string{"VISUAL", "EDITOR"} {
		if e := os.Getenv(name); e != "" {
			return e
		}
	}
	return "vi"
}

// apply shows the difference, asks, and changes.
func (e *specEdit) apply(ctx context.Context, change api.SpecChange) error {
	preview, err := e.client.PutSpec(ctx, change, true)
	if err != nil {
		return err
	}
	if e.dryRun || len(preview.Changes) == 0 {
		return e.answer(preview, func(w io.Writer) { printChanges(w, preview.Changes) })
	}
	printChanges(e.stderr, preview.Changes)
	for _, c := range preview.Changes {
		if c.Effect == spec.EffectRefuse {
			return refused("nothing was changed", "%s", c.Reason)
		}
	}
	if !e.yes && !e.confirmed() {
		return refused("", "nothing was changed")
	}
	result, err := e.client.PutSpec(ctx, change, false)
	if err != nil {
		return mutation(err)
	}
	return e.answer(result, func(w io.Writer) { fmt.Fprintf(w, "changed%s\n", restartNote(result.Changes)) })
}

func (e *specEdit) confirmed() bool {
	fmt.Fprint(e.stderr, "apply? [y/N] ")
	line, _ := bufio.NewReader(e.stdin).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

func printChanges(w io.Writer, changes []spec.Change) {
	if len(changes) == 0 {
		fmt.Fprintln(w, "no change")
		return
	}
	var out bytes.Buffer
	for _, c := range changes {
		fmt.Fprintf(&out, "%s\n  - %s\n  + %s\n  %s: %s\n", c.Path, orDash(c.Old), orDash(c.New), c.Effect, c.Reason)
	}
	_, _ = w.Write(out.Bytes())
}

func restartNote(changes []spec.Change) string {
	for _, c := range changes {
		if c.Effect == spec.EffectRestart {
			return "; `pgherd restart` restarts the members that need it"
		}
	}
	return ""
}
