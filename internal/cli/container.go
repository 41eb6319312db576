package cli

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/pidone"
)

// container runs another command, such as run, as the child of a container's first process.
func container(args []string, stderr io.Writer) int {
	exe, err := os.Executable()
	if err != nil {
		return report(stderr, err)
	}
	return pidone.Run(append([]string{exe}, args...), stderr)
}

// containerCommand only keeps the name; Main begins a container before cobra exists.
func containerCommand() *cobra.Command {
	return &cobra.Command{Use: "container COMMAND...", Hidden: true, Short: "the first process of a container; the image starts it", Run: func(*cobra.Command, []string) {}}
}
