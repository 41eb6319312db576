package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/test/docs"
)

// An example says more than a list of flags; it is in the help and in the man page.
func TestEachCommandHasAnExample(t *testing.T) {
	seen := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				walk(sub)
			}
		}
		if cmd.HasSubCommands() && cmd.Name() != "forks" {
			return
		}
		seen++
		if !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s has no example of itself: %q", cmd.CommandPath(), cmd.Example)
		}
		for line := range strings.Lines(cmd.Example) {
			_, command, found := strings.Cut(strings.TrimSpace(line), "pgherd ")
			if err := parses(docs.Bare(command)); !found || err != nil {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
			}
		}
	}
	walk(Commands())
	if seen < 30 {
		t.Errorf("only %d commands were seen", seen)
	}
}
