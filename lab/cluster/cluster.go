//go:build lab

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/lab/rig"
)

// Config says what to run.
type Config struct {
	Exe   string                 // pgherd
	Spec  string                 // YAML of the cluster's spec; empty: pgherd's defaults
	Env   []string               // of every agent, and so of PostgreSQL: LD_PRELOAD of a shim and its files
	EnvOf func(*Member) []string // more of each member's
	Agent []string               // more flags of `pgherd run`
	Setup func(*Member) []string // more flags of `pgherd init` and `join`
	// Endpoints gives every member those of applications, at the usual ports of its host.
	Endpoints bool
	// Witnesses of the hosts, the last ones, vote and run no PostgreSQL.
	Witnesses int
}

// Cluster is pgherd on the hosts of one rig.
type Cluster struct {
	T       testing.TB
	Rig     *rig.Rig
	Members []*Member
	Config  Config
	began   time.Time
}

// Member is one of the cluster's, on its own host.
type Member struct {
	Name     string
	Host     *rig.Host
	StateDir string
	DataDir  string
	WALDir   string // empty: in DataDir
	Exe      string // pgherd, for this member
	Env      []string
	Witness  bool

	c     *Cluster
	agent *rig.Running
}

// Password is the application's role's.
const Password = "PaSSw0rd-of-the-lab"

// Clerk is the role of clients behind endpoints, which let no superuser in. It has the same password.
const Clerk = "clerk"

// Port is PostgreSQL's on every host; the others are pgherd's defaults.
const (
	Port      = spec.DefaultPostgresPort
	PortAPI   = spec.DefaultAPIPort
	PortPeer  = spec.DefaultPeerPort
	PortStore = spec.DefaultStorePort
	PortRW    = spec.DefaultRWPort
)

// Up founds a cluster on all hosts of the rig and waits until it could bear a fault.
func Up(t testing.TB, r *rig.Rig, cfg Config) *Cluster {
	t.Helper()
	c := New(t, r, cfg)
	c.Found()
	return c
}

// New gives each host its member; nothing runs yet.
func New(t testing.TB, r *rig.Rig, cfg Config) *Cluster {
	c := &Cluster{T: t, Rig: r, Config: cfg, began: time.Now()}
	for i, h := range r.Hosts {
		m := c.place(h)
		m.Witness = i >= len(r.Hosts)-cfg.Witnesses
		c.Members = append(c.Members, m)
	}
	return c
}

// Found is init, joins and the wait of Up.
func (c *Cluster) Found() {
	c.T.Helper()
	first := c.Members[0]
	first.init()
	first.StartAgent()
	c.Wait(30*time.Second, first.Name+" runs", first.open)
	first.SQL("CREATE ROLE app LOGIN SUPERUSER PASSWORD '" + Password + "'")
	first.SQL("CREATE DATABASE app OWNER app")
	if c.Config.Endpoints {
		first.SQL("CREATE ROLE " + Clerk + " LOGIN PASSWORD '" + Password + "'")
	}
	for _, m := range c.Members[1:] {
		m.join(first)
		m.StartAgent()
	}
	c.WaitReady(60 * time.Second)
}

// open: the administrator can write. The application's role does not exist yet.
func (m *Member) open() bool {
	out, err := m.TrySQL("SELECT pg_is_in_recovery()")
	return err == nil && out == "f"
}

func (c *Cluster) place(h *rig.Host) *Member {
	m := &Member{Name: h.Name, Host: h, c: c, Exe: c.Config.Exe, Env: c.Config.Env}
	if c.Config.EnvOf != nil {
		m.Env = append(slices.Clone(m.Env), c.Config.EnvOf(m)...)
	}
	m.StateDir = filepath.Join(h.Volumes["state"].Dir, "pgherd")
	m.DataDir = filepath.Join(h.Volumes["data"].Dir, "pg")
	if h.Volumes["wal"].SizeMB > 0 {
		m.WALDir = filepath.Join(h.Volumes["wal"].Dir, "pg")
	}
	return m
}

func (m *Member) configFile() string { return filepath.Join(m.Host.Dir, "pgherd.yaml") }

// LogFile is the agent's log.
func (m *Member) LogFile() string { return filepath.Join(m.Host.Dir, "agent.log") }

// Addr is where clients find PostgreSQL.
func (m *Member) Addr() string { return net.JoinHostPort(m.Host.Addr, strconv.Itoa(Port)) }

// Endpoint is where applications find whoever is primary, by this member's pooler.
func (m *Member) Endpoint() string { return net.JoinHostPort(m.Host.Addr, strconv.Itoa(PortRW)) }

func (m *Member) setup(verb ...string) []string {
	args := append([]string{m.Exe}, verb...)
	args = append(args, "--config", m.configFile(), "--name", m.Name, "--address", m.Host.Addr, "--state-dir", m.StateDir)
	if !m.c.Config.Endpoints {
		args = append(args, "--no-endpoints")
	}
	if m.Witness {
		return append(args, "--witness")
	}
	args = append(args, "--data-dir", m.DataDir, "--watchdog", "off") // this machine is not to be reset
	if m.c.Config.Setup != nil {
		args = append(args, m.c.Config.Setup(m)...)
	}
	if m.WALDir != "" {
		args = append(args, "--wal-dir", m.WALDir)
	}
	return args
}

func (m *Member) init() {
	m.c.T.Helper()
	args := m.setup("init")
	if m.c.Config.Spec != "" {
		file := filepath.Join(m.Host.Dir, "spec.yaml")
		if err := os.WriteFile(file, []byte(m.c.Config.Spec), 0o644); err != nil {
			m.c.T.Fatal(err)
		}
		args = append(args, "--spec", file)
	}
	m.onHost(args...)
}

func (m *Member) join(from *Member) {
	m.c.T.Helper()
	token := filepath.Join(m.Host.Dir, "token")
	create := []string{"token", "create"}
	if m.Witness {
		create = append(create, "--witness")
	}
	if err := os.WriteFile(token, []byte(from.Must(create...)), 0o600); err != nil {
		m.c.T.Fatal(err)
	}
	m.onHost(m.setup("join", net.JoinHostPort(from.Host.Addr, strconv.Itoa(PortAPI)), "--token-file", token)...)
}

// Burn takes what the member had on its disks, identity and all. Its machine is off.
func (m *Member) Burn() {
	m.c.T.Helper()
	for _, path := range []string{m.StateDir, m.DataDir, m.WALDir, m.configFile()} {
		if path == "" {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			m.c.T.Fatal(err)
		}
	}
}

// Rejoin makes a new member of the same name, as a new machine in its place.
func (m *Member) Rejoin(from *Member) {
	m.c.T.Helper()
	m.join(from)
	m.StartAgent()
}

// onHost runs a command in the host's network, to its end.
func (m *Member) onHost(args ...string) {
	m.c.T.Helper()
	cmd := m.Host.Cmd(rig.Command{Args: args, Outside: true})
	if out, err := cmd.CombinedOutput(); err != nil {
		m.c.T.Fatalf("%v on %s: %v\n%s", args, m.Name, err, out)
	}
}

// StartAgent starts `pgherd run`.
func (m *Member) StartAgent(flags ...string) {
	m.c.T.Helper()
	args := append([]string{m.Exe, "run", "--config", m.configFile()}, m.c.Config.Agent...)
	run, err := m.Host.Start(rig.Command{Args: append(args, flags...), Env: m.Env, Log: m.LogFile()})
	if err != nil {
		m.c.T.Fatal(err)
	}
	m.agent = run
}

// WaitAgentEnd waits for the agent's end.
func (m *Member) WaitAgentEnd(limit time.Duration) {
	m.c.T.Helper()
	select {
	case <-m.agent.Ended:
	case <-time.After(limit):
		m.c.T.Fatalf("the agent of %s has not ended after %v", m.Name, limit)
	}
}

// AgentRuns says whether the agent that was started last still runs.
func (m *Member) AgentRuns() bool {
	if m.agent == nil {
		return false
	}
	select {
	case <-m.agent.Ended:
		return false
	default:
		return true
	}
}

// Answer is what one command said.
type Answer struct {
	Code           int
	Stdout, Stderr string
}

func (a Answer) String() string {
	return fmt.Sprintf("exit %d\n%s%s", a.Code, a.Stdout, a.Stderr)
}

// Run is pgherd's command line on this member. It talks to the agent by a unix socket, so it
// works however the host is cut off.
func (m *Member) Run(args ...string) Answer {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.Exe, append(args, "--config", m.configFile())...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = "/", &stdout, &stderr, time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Answer{-1, "", err.Error()}
	}
	return Answer{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Must is Run of a command that has to succeed.
func (m *Member) Must(args ...string) string {
	m.c.T.Helper()
	a := m.Run(args...)
	if a.Code != 0 {
		m.c.T.Fatalf("pgherd %v on %s: %s", args, m.Name, a)
	}
	return a.Stdout
}

// Explain is what `pgherd explain` says here.
func (m *Member) Explain() string { return m.Run("explain").String() }

// Wait polls for a fact, or fails the test.
func (c *Cluster) Wait(limit time.Duration, what string, so func() bool) {
	c.T.Helper()
	for began := time.Now(); !so(); time.Sleep(25 * time.Millisecond) {
		if time.Since(began) > limit {
			c.T.Fatalf("not after %v: %s; %s", limit, what, c.Words())
		}
	}
}

// Others are all members but these.
func (c *Cluster) Others(but ...*Member) (rest []*Member) {
	for _, m := range c.Members {
		keep := true
		for _, b := range but {
			keep = keep && m != b
		}
		if keep {
			rest = append(rest, m)
		}
	}
	return rest
}

// Data are the members that run PostgreSQL.
func (c *Cluster) Data() (list []*Member) {
	for _, m := range c.Members {
		if !m.Witness {
			list = append(list, m)
		}
	}
	return list
}

// Standbys are the data members but the given ones.
func (c *Cluster) Standbys(but ...*Member) (list []*Member) {
	for _, m := range c.Others(but...) {
		if !m.Witness {
			list = append(list, m)
		}
	}
	return list
}

// Get gives a member by its name, or nil.
func (c *Cluster) Get(name string) *Member {
	for _, m := range c.Members {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Owner is who runs pgherd and PostgreSQL.
var Owner struct{ UID, GID int }

func asOwner() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(Owner.UID), Gid: uint32(Owner.GID)}}
}
