package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/pooler"
	"github.com/pgherd/pgherd/internal/postgres"
)

// address is every member's.
const address = "127.0.0.1"

// Config says which cluster is wanted.
type Config struct {
	Dir    string // "": a new temporary directory
	Nodes  int
	Port   int                              // the first port; 0: free ones
	BinDir string                           // PostgreSQL's programs; "": the newest found
	Exe    string                           // the pgherd binary; absolute
	Say    func(format string, args ...any) // told what happens, a line each; from any goroutine
}

// Cluster is a cluster of processes on this machine. One goroutine drives it.
type Cluster struct {
	dir, exe, binDir string
	version          string // PostgreSQL's
	owner            owner
	say              func(string, ...any)
	members          []*member
	layout           layout
	continued        bool              // a kept cluster was taken up
	created          bool              // Open made the directory
	said             map[string]string // what was told last of each member

	lock     *os.File
	reserved io.Closer // the ports; nil when the user chose them

	recordMu sync.Mutex
	record   Record
	stopNote chan struct{}
	noted    sync.WaitGroup
}

// Open makes a directory for a new cluster or takes up a kept one, whose leftover
// processes it stops. Nothing is started yet. Close or Remove ends it.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Nodes < 1 || cfg.Nodes > nodesMax {
		return nil, fail(fmt.Sprintf("%d members: a demo has 1 to %d", cfg.Nodes, nodesMax), "choose --nodes 3")
	}
	o, err := findOwner()
	if err != nil {
		return nil, err
	}
	binDir, version, err := postgres.FindBinDir(cfg.BinDir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{exe: cfg.Exe, binDir: binDir, version: version.String(), owner: o, say: cfg.Say, said: map[string]string{}}
	if c.dir, c.lock, c.created, err = openDirectory(cfg.Dir, o); err != nil {
		return nil, err
	}
	if err := c.prepare(ctx, cfg); err != nil {
		c.Close()
		if c.created { // what was there before stays as it was
			_ = c.Remove()
		}
		return nil, err
	}
	return c, nil
}

func (c *Cluster) prepare(ctx context.Context, cfg Config) (err error) {
	c.layout, err = readLayout(c.dir)
	switch {
	case err == nil:
		c.continued = true
		err = errors.Join(c.makeMemberDirs(), c.takeUp(ctx, cfg))
	case errors.Is(err, os.ErrNotExist):
		err = c.layOut(cfg)
	}
	if err != nil {
		return err
	}
	for _, m := range c.layout.Members {
		c.members = append(c.members, newMember(c.dir, m.Name, m.Ports))
	}
	c.record = c.newRecord()
	return nil
}

// takeUp continues a kept cluster, also after the demo itself was killed.
func (c *Cluster) takeUp(ctx context.Context, cfg Config) error {
	if n := len(c.layout.Members); n != cfg.Nodes {
		c.say("this cluster was made with %d members; so it stays", n)
	}
	if left := c.processes(); len(left) > 0 {
		c.say("%d processes of an earlier run are left; they are stopped first", len(left))
		if err := c.stopProcesses(ctx); err != nil {
			return err
		}
	}
	ports := make([]Ports, len(c.layout.Members))
	for i, m := range c.layout.Members {
		ports[i] = m.Ports
	}
	return checkPorts(ports)
}

// layOut writes a new cluster's layout, then makes the members' directories: whatever
// ends the demo between, the directory can be told to be a demo's.
func (c *Cluster) layOut(cfg Config) error {
	ports, reserved, err := choosePorts(cfg.Port, cfg.Nodes)
	if err != nil {
		return err
	}
	if reserved != nil {
		c.reserved = reserved
	}
	c.layout.Mark = layoutMark
	_, _, noPooler := pooler.Find("")
	if noPooler != nil {
		c.say("no endpoints in this demo: %s", noPooler)
	}
	for i, p := range ports {
		if noPooler != nil {
			p.RW, p.RO = 0, 0
		}
		c.layout.Members = append(c.layout.Members, layoutMember{Name: memberName(i), Ports: p})
	}
	return errors.Join(c.saveLayout(), c.makeMemberDirs())
}

// makeMemberDirs makes those that are missing.
func (c *Cluster) makeMemberDirs() error {
	for _, m := range c.layout.Members {
		dir := filepath.Join(c.dir, m.Name)
		if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
			return err
		}
	}
	return nil
}

func (c *Cluster) saveLayout() error { return writeJSON(filepath.Join(c.dir, layoutName), c.layout) }

func (c *Cluster) processes() []process { return processes(c.dir, filepath.Base(c.exe)) }

// Dir is the cluster's directory.
func (c *Cluster) Dir() string { return c.dir }

// Names lists the members in the order of their joining.
func (c *Cluster) Names() (names []string) {
	for _, m := range c.members {
		names = append(names, m.name)
	}
	return names
}

// StateDir is where a member keeps its journal.
func (c *Cluster) StateDir(name string) string { return newMember(c.dir, name, Ports{}).stateDir() }

// Version is PostgreSQL's.
func (c *Cluster) Version() string { return c.version }

// PIDs gives the agent's and the warden's PID; 0 is no such process.
func (c *Cluster) PIDs(name string) (agent, warden int) {
	for _, p := range c.processes() {
		switch {
		case p.member == name && p.kind == kindAgent:
			agent = p.pid
		case p.member == name && p.kind == kindWarden:
			warden = p.pid
		}
	}
	return agent, warden
}

func (c *Cluster) member(name string) (*member, error) {
	for _, m := range c.members {
		if m.name == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("there is no member %q", name)
}

// noteEvery is how often demo.json is brought up to date.
const noteEvery = 500 * time.Millisecond

// keepRecord keeps demo.json true until the cluster is closed.
func (c *Cluster) keepRecord() {
	c.stopNote = make(chan struct{})
	stop := c.stopNote
	c.noted.Go(func() {
		ticker := time.NewTicker(noteEvery)
		defer ticker.Stop()
		for {
			c.note()
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
		}
	})
}

// note brings demo.json up to date now.
func (c *Cluster) note() {
	c.recordMu.Lock()
	defer c.recordMu.Unlock()
	_ = writeJSON(filepath.Join(c.dir, recordName), c.record.withPIDs(c.processes()))
}

// Close lets go of the directory, which stays. The cluster must have been stopped.
func (c *Cluster) Close() {
	if c.stopNote != nil {
		close(c.stopNote)
		c.noted.Wait()
		c.stopNote = nil
		c.note()
	}
	if c.reserved != nil {
		c.reserved.Close()
	}
	if c.lock != nil {
		c.lock.Close()
		c.lock = nil
	}
}

// End stops what runs, whatever became of the caller's context, and removes everything.
func (c *Cluster) End() error {
	err := c.Stop(context.Background())
	c.Close()
	return errors.Join(err, c.Remove())
}

// Remove deletes what the demo made, and the directory when nothing else is in it; else
// errOthersLeft. The cluster must have been stopped.
func (c *Cluster) Remove() error {
	var members []string
	for _, m := range c.layout.Members {
		members = append(members, m.Name)
	}
	return removeOurs(c.dir, members)
}
