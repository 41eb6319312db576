package cli

import (
	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/demo"
)

func (a *app) demoCommand() *cobra.Command {
	o := demo.Options{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "run a whole cluster on this machine, with a tour of what it survives",
		Long: "Three members run as processes of their own, with real PostgreSQL, in one directory. The tour kills the primary's postmaster, " +
			"then a whole member, then switches over, all under write load, and fails if an acknowledged row is missing. Ctrl-C stops everything. " +
			"Without a terminal the demo ends after the tour with its verdict as exit code. DIR/demo.json has the connection strings and the PIDs.",
		Example: "  pgherd demo\n  pgherd demo --no-tour --keep --dir /tmp/herd",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if code := demo.Run(cmd.Context(), o, a.stdout, a.stderr); code != ExitDone {
				return silent(code)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", "", "directory of the cluster (default: a new temporary one)")
	f.IntVar(&o.Nodes, "nodes", 3, "members")
	f.IntVar(&o.Port, "port", 0, "first port (default: free ones)")
	f.BoolVar(&o.NoTour, "no-tour", false, "only run the cluster")
	f.BoolVar(&o.Keep, "keep", false, "keep the data; a second start with the same --dir continues it")
	f.StringVar(&o.BinDir, "bin-dir", "", "PostgreSQL's programs (default: the newest found)")
	return cmd
}
