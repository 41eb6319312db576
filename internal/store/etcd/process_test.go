package etcd_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/internal/store/storetest"
	"github.com/pgherd/pgherd/test/ports"
)

const patience = 30 * time.Second

// etcdBinary builds the real etcd server from the module that pgherd embeds:
// distributions often have none, or an old one. PGHERD_TEST_ETCD names another.
var etcdBinary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("PGHERD_TEST_ETCD"); path != "" {
		return path, nil
	}
	path := filepath.Join(buildDir, "etcd")
	out, err := exec.Command("go", "build", "-o", path, "go.etcd.io/etcd/server/v3").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build etcd: %w: %s", err, out)
	}
	return path, nil
})

var buildDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if buildDir, err = os.MkdirTemp("", "pgherd-etcd-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(buildDir)
		return m.Run()
	}())
}

// processes are external etcd servers, one cluster with TLS.
type processes struct {
	t       *testing.T
	ca      *storetest.CA
	clients []string // URLs
	args    [][]string
	running []*exec.Cmd
}

func startProcesses(t *testing.T, n int) *processes {
	t.Helper()
	p := newProcesses(t, n)
	for i := range n {
		p.start(i)
	}
	return p
}

// newProcesses prepares servers without starting them.
func newProcesses(t *testing.T, n int) *processes {
	t.Helper()
	p := &processes{t: t, ca: storetest.NewCA(t), running: make([]*exec.Cmd, n)}
	dir := t.TempDir()
	files := p.ca.Issue(t, dir, "server")
	var initial []string
	for i := range n {
		peer, client := "https://"+ports.Addr(t), "https://"+ports.Addr(t)
		name := fmt.Sprintf("e%d", i)
		initial = append(initial, name+"="+peer)
		p.clients = append(p.clients, client)
		p.args = append(p.args, []string{
			"--name", name, "--data-dir", filepath.Join(dir, name), "--log-level", "error",
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--cert-file", files.Cert, "--key-file", files.Key, "--trusted-ca-file", p.ca.File, "--client-cert-auth",
			"--peer-cert-file", files.Cert, "--peer-key-file", files.Key, "--peer-trusted-ca-file", p.ca.File, "--peer-client-cert-auth",
		})
	}
	for i := range n {
		p.args[i] = append(p.args[i], "--initial-cluster", strings.Join(initial, ","))
	}
	return p
}

func (p *processes) start(i int) {
	p.t.Helper()
	binary, err := etcdBinary()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(binary, p.args[i]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.running[i] = cmd
	p.t.Cleanup(func() { p.kill(i) })
}

func (p *processes) kill(i int) {
	if cmd := p.running[i]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		p.running[i] = nil
	}
}

func (p *processes) signal(i int, s syscall.Signal) {
	p.t.Helper()
	if err := p.running[i].Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *processes) config(prefix string) etcd.Config {
	files := p.ca.Issue(p.t, p.t.TempDir(), "client")
	return etcd.Config{Endpoints: p.clients, TLS: p.ca.ClientTLS(p.t, files), Prefix: prefix}
}

func (p *processes) dial(prefix string) *etcd.Store {
	p.t.Helper()
	return dial(p.t, p.config(prefix))
}

func dial(t *testing.T, cfg etcd.Config) *etcd.Store {
	t.Helper()
	s, err := etcd.Dial(ctx(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}
