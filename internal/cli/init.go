package cli

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/agent"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
)

// SetupResult is what init and join answer with --json.
type SetupResult struct {
	Cluster  string `json:"cluster"`
	ID       string `json:"id"`
	Member   string `json:"member"`
	Ordinal  int    `json:"ordinal"`
	Config   string `json:"config"`
	StateDir string `json:"state_dir"`
}

// The cluster's name becomes PostgreSQL's cluster_name and part of store keys.
var clusterName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func (a *app) initCommand() *cobra.Command {
	s, cluster, specFile := &setup{}, "main", ""
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "make a new cluster; this machine is its first member",
		Example: "  pgherd init --name n1 --address 10.0.0.1",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.init(s, cluster, specFile) },
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&cluster, "cluster", cluster, "the cluster's name")
	cmd.Flags().StringVar(&specFile, "spec", "", "`FILE` (YAML) with the spec to begin with (default: see pgherd config show)")
	return cmd
}

func (a *app) init(s *setup, cluster, specFile string) error {
	syscall.Umask(openUmask)
	if !clusterName.MatchString(cluster) {
		return usage("", "--cluster %q: want 1 to 32 of a-z 0-9 -, beginning with a letter", cluster)
	}
	wanted, err := readSpec(specFile)
	if err != nil {
		return err
	}
	if s.m.Witness {
		return refused("begin with a member that holds data; witnesses join it", "the first member cannot be a witness")
	}
	if err := s.complete(); err != nil {
		return err
	}
	if _, _, err := s.owner(); err != nil {
		return err
	}
	if err := s.check(a.config, a.stderr); err != nil {
		return err
	}
	id := agent.Identity{
		ClusterID: newUUID(), Cluster: cluster, Member: s.m.Name, Ordinal: 1, First: true,
		Seeds: []core.MemberRecord{agent.RecordOf(s.m, 1)}, Spec: wanted, Created: a.now().UTC().Format(time.RFC3339),
	}
	k, err := newClusterKeys(id.ClusterID, s.m, a.now())
	if err != nil {
		return err
	}
	if err := s.write(a.config, id, k, a.stderr); err != nil {
		return err
	}
	return a.setupDone(s, id, fmt.Sprintf("cluster %s is made, its CA is %s", cluster, k.ca.FingerprintText()),
		"then `pgherd token create` here lets the next server join")
}

func (a *app) setupDone(s *setup, id agent.Identity, text, then string) error {
	if s.without != "" {
		fmt.Fprintf(a.stderr, "warning: %s\nhint: install PgBouncer 1.21 or newer, then write listen.rw and listen.ro into %s (docs/configuration.md); --no-endpoints says that none are wanted\n", s.without, a.config)
	}
	result := SetupResult{id.Cluster, id.ClusterID, id.Member, id.Ordinal, a.config, s.m.StateDir}
	return a.answer(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s\nwrote %s\n%s\n", text, a.config, s.nextSteps(a.config))
		if then != "" {
			fmt.Fprintln(w, then)
		}
	})
}

// readSpec gives the spec as YAML; it is kept as text until the store exists.
func readSpec(path string) (string, error) {
	if path == "" {
		return string(spec.DefaultCluster().YAML()), nil
	}
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return "", usage("", "--spec: %w", err)
	}
	c, err := spec.ParseCluster(data)
	if err != nil {
		return "", &exitError{ExitUsage, "", err}
	}
	return string(c.YAML()), nil
}

func newClusterKeys(clusterID string, m spec.Member, now time.Time) (keys, error) {
	ca, err := pki.NewCA(clusterID, now)
	if err != nil {
		return keys{}, err
	}
	cert, key, err := ca.Issue(m.Name, []string{m.Address}, now, pki.NodeLifetime)
	return keys{ca, cert, key}, err
}

// newUUID gives a random UUID (version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails since Go 1.24
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
