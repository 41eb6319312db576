package act

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/spec"
)

// Server is this member's PostgreSQL with what was last applied to it.
type Server struct {
	Instance postgres.Instance
	DB       *postgres.DB
	Cluster  string // cluster_name
	Config   spec.Member
	PKI      pki.Dir
	OSUser   string
	StateDir string
	Source   func(member string) (postgres.Source, bool) // how to reach a member's PostgreSQL

	mu       sync.Mutex
	key      string
	follows  string
	held     bool              // the access rules on disk keep clients out
	accepted map[string]string // parameters that PostgreSQL found well-formed
	good     map[string]string
	stopped  onceAWhile // the postmaster that was told to stop
	promoted onceAWhile // the term of the promotion that was asked for
}

// Applied says what was last rendered, and the parameters known to work.
func (s *Server) Applied() (key, follows string, good map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key, s.follows, s.good
}

func (s *Server) applied(key, follows string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key, s.follows = key, follows
}

// Held says whether the access rules on disk keep clients out.
func (s *Server) Held() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

func (s *Server) setHeld(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
}

// Leaving is the postmaster that was told to stop last; 0: none was.
func (s *Server) Leaving() int { return s.stopped.last() }

func (s *Server) goodFile() string { return filepath.Join(s.StateDir, "good-parameters.json") }

// Load reads what an earlier agent left: whether clients are kept out, and the parameters that
// worked. A file that is missing or broken only means that there are none to fall back to.
func (s *Server) Load() {
	s.setHeld(postgres.HBAHeld(s.Instance))
	data, err := os.ReadFile(s.goodFile())
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if json.Unmarshal(data, &s.good) != nil {
		s.good = nil
	}
}

func (s *Server) saveGood(params map[string]string) error {
	data, err := json.Marshal(params)
	if err != nil {
		return err
	}
	temp := s.goodFile() + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	if err := os.Rename(temp, s.goodFile()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = params
	return nil
}

// merged adds the member's own parameters, which have the last word.
func (s *Server) merged(params map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, params)
	maps.Copy(out, s.Config.Postgres.Parameters)
	return out
}

func (s *Server) tried(params map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = params
}

func (s *Server) hasTried(params map[string]string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted != nil && maps.Equal(s.accepted, params)
}

// conf turns core's wish into the files' content.
func (s *Server) conf(c core.Conf) (conf, hba, ident []byte, err error) {
	out := postgres.Conf{
		Instance: s.Instance, ClusterName: s.Cluster, Listen: s.Config.Postgres.Listen,
		CertFile: s.PKI.NodeCert(), KeyFile: s.PKI.NodeKey(), CAFile: s.PKI.CACert(),
		SynchronousStandbyNames: postgres.SyncNames(c.Sync.K, c.Sync.Members),
		HotStandbyFeedback:      true,
		Parameters:              s.merged(c.Params),
	}
	if c.Follow != "" {
		source, _ := s.Source(c.Follow)
		source.Host, source.Port = c.Host, c.Port
		out.Source = &source
		out.PrimarySlot = spec.SlotName(s.Config.Name)
	}
	hba, ident, err = postgres.RenderHBA(postgres.HBAInput{OSUser: s.OSUser, Members: c.Members, Poolers: c.Poolers, Rules: c.HBA, Hold: c.Hold})
	if err != nil {
		return nil, nil, nil, err
	}
	return postgres.RenderConf(out), hba, ident, nil
}
