package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/warden"
)

const (
	configDefault = "/etc/pgherd/pgherd.yaml"
	configEnv     = "PGHERD_CONFIG"
	callTimeout   = 15 * time.Second // one call to the agent
)

// app is what all commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time

	config string
	json   bool
	parsed bool // arguments and flags were fine: later errors are not of usage
}

// Main runs a command and gives its exit code. args are without the program's name.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "warden" {
		warden.Version = version
		return warden.Main(args[1:]) // before anything else is set up: it must stay small
	}
	if len(args) > 1 && args[0] == "container" {
		return container(args[1:], stderr)
	}
	a := &app{stdin: os.Stdin, stdout: stdout, stderr: stderr, now: time.Now}
	return a.main(context.Background(), args)
}

func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return ExitDone
	case !a.parsed:
		text, more, _ := strings.Cut(err.Error(), "\n")
		printError(a.stderr, text, usageHint(err, more))
		return ExitUsage
	}
	return report(a.stderr, err)
}

// usageHint: cobra puts what was perhaps meant behind the first line.
func usageHint(err error, more string) string {
	if hint := hintOf(err); hint != "" {
		return hint
	}
	if more = oneLine(more); more != "" {
		return strings.ToLower(more[:1]) + more[1:]
	}
	return "`pgherd --help` lists the commands, `pgherd COMMAND --help` their flags"
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "pgherd",
		Short:         "an autopilot for PostgreSQL clusters",
		Long:          "pgherd turns PostgreSQL servers into one cluster that elects its primary, fails over, rejoins what fell out, and can say why.\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 refused (nothing was changed), 4 outcome unknown.",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.parsed = true
		},
	}
	config := os.Getenv(configEnv)
	if config == "" {
		config = configDefault
	}
	root.PersistentFlags().StringVar(&a.config, "config", config, "the member's file; or "+configEnv)
	root.PersistentFlags().BoolVar(&a.json, "json", false, "answer in JSON")
	root.AddCommand(
		a.initCommand(), a.joinCommand(), a.tokenCommand(), a.viewerCommand(), a.accessCommand(), a.runCommand(), a.poolerCommand(),
		a.statusCommand(), a.topCommand(), a.waitCommand(), a.dsnCommand(), a.membersCommand(), a.explainCommand(), a.eventsCommand(), a.forksCommand(),
		a.switchoverCommand(), a.failoverCommand(), a.recoverCommand(), a.restartCommand(), a.reinitCommand(), a.removeCommand(),
		a.drainCommand(), a.undrainCommand(), a.cancelCommand(), a.outcomeCommand(),
		a.pauseCommand(), a.resumeCommand(), a.logLevelCommand(), a.configCommand(), a.replayCommand(), a.demoCommand(), a.versionCommand(), wardenCommand(), containerCommand(),
	)
	return root
}

// wardenCommand only keeps the name; Main runs the warden before cobra exists.
func wardenCommand() *cobra.Command {
	return &cobra.Command{Use: "warden", Hidden: true, Short: "the parent of PostgreSQL; the agent starts it", Run: func(*cobra.Command, []string) {}}
}

// member reads pgherd.yaml.
func (a *app) member() (spec.Member, error) {
	m, err := spec.Load(a.config)
	if os.IsPermission(err) {
		return m, failed("run the command as root or as the agent's user", "%w", err)
	}
	return m, err
}

// client calls the agent of this machine.
func (a *app) client() (*api.Client, error) {
	m, err := a.member()
	if err != nil {
		return nil, err
	}
	return api.Local(api.SocketPath(m.StateDir)), nil
}

// call gives f a client and a deadline.
func (a *app) call(cmd *cobra.Command, f func(context.Context, *api.Client) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), callTimeout)
	defer cancel()
	return f(ctx, c)
}

// answer prints a value as JSON, or as text with print.
func (a *app) answer(value any, print func(io.Writer)) error {
	var out bytes.Buffer
	if a.json {
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(value); err != nil {
			return err
		}
	} else {
		print(&out)
	}
	_, err := a.stdout.Write(out.Bytes())
	return err
}

// accepted prints what a mutation answered.
func (a *app) accepted(answer api.Accepted, err error) error {
	if err != nil {
		return mutation(err)
	}
	return a.answer(answer, func(w io.Writer) { fmt.Fprintln(w, answer.Text) })
}
