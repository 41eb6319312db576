package embed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/embed"
	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/internal/store/storetest"
)

// TestFootprint measures what an idle cluster of three costs each member: its
// embedded server, one snapshot a second, and on the first member one lease
// renewal a second. It measures only when PGHERD_FOOTPRINT is a duration:
//
//	PGHERD_FOOTPRINT=30s go test -run TestFootprint -v ./internal/store/embed
func TestFootprint(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv("PGHERD_FOOTPRINT"))
	if err != nil {
		t.Skip("PGHERD_FOOTPRINT is not set to a duration")
	}
	names := []string{"n1", "n2", "n3"}
	c := newCluster(t) // only its certificates and ports: members are processes here
	initial := map[string]string{}
	for _, name := range names {
		initial[name] = c.config(name).PeerAdvertise
	}
	pids := map[string]int{}
	for i := range names {
		pids[names[i]] = c.spawn(append(names[i:len(names):len(names)], names[:i]...), initial)
	}
	s := c.dial(names...)
	for i := range 20 {
		if _, err := s.Put(ctx(t), fmt.Sprintf("members/n%d", i), bytes.Repeat([]byte("x"), 1000), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	time.Sleep(10 * time.Second) // start-up is over
	before := map[string]time.Duration{}
	for name, pid := range pids {
		before[name] = cpuTime(t, pid)
	}
	time.Sleep(span)
	for _, name := range names {
		used := cpuTime(t, pids[name]) - before[name]
		t.Logf("%s: %.2f %% of a core, %s", name, 100*used.Seconds()/span.Seconds(), memory(t, pids[name]))
	}
}

type member struct {
	Config    embed.Config
	Endpoints []string
	Renews    bool
	Client    storetest.Files
}

// spawn runs a member, order[0], as a process of this test binary.
func (c *testCluster) spawn(order []string, initial map[string]string) (pid int) {
	c.t.Helper()
	m := member{Config: c.config(order[0]), Endpoints: c.endpoints(order...), Renews: order[0] == "n1"}
	m.Config.Initial, m.Config.Logger = initial, nil
	m.Client = storetest.Files{Cert: m.Config.CertFile, Key: m.Config.KeyFile}
	spec, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestFootprintMember$")
	cmd.Env = append(os.Environ(), "PGHERD_FOOTPRINT_MEMBER="+string(spec))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// TestFootprintMember is a member's process; see TestFootprint.
func TestFootprintMember(t *testing.T) {
	var m member
	if json.Unmarshal([]byte(os.Getenv("PGHERD_FOOTPRINT_MEMBER")), &m) != nil {
		t.Skip("not started by TestFootprint")
	}
	if limit, err := strconv.Atoi(os.Getenv("PGHERD_FOOTPRINT_GC")); err == nil {
		debug.SetGCPercent(limit)
	}
	ca, err := storetest.LoadTLS(m.Config.CAFile, m.Client)
	if err != nil {
		t.Fatal(err)
	}
	server, err := embed.Start(t.Context(), m.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s, err := etcd.Dial(t.Context(), etcd.Config{Endpoints: m.Endpoints, TLS: ca})
	if err != nil {
		t.Fatal(err)
	}
	s.Watch(t.Context(), nil)
	for range time.Tick(time.Second) { // until the parent kills us
		beat(s, m.Renews)
	}
}

func beat(s store.Store, renews bool) {
	call, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	snap, err := s.Snapshot(call)
	if err == nil && renews {
		_, err = s.Put(call, "lease", bytes.Repeat([]byte("l"), 200), snap.Entries["lease"].Revision)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func memory(t *testing.T, pid int) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(status)) {
		for _, key := range []string{"VmRSS", "RssAnon", "RssFile", "VmHWM", "Threads"} {
			if strings.HasPrefix(line, key+":") {
				lines = append(lines, strings.Join(strings.Fields(line), " "))
			}
		}
	}
	return strings.Join(lines, ", ")
}
