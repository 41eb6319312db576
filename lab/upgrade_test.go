//go:build lab

package lab

import (
	"fmt"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/lab/cluster"
)

// The program itself is exchanged under load.
var _ = add(
	scenario{name: "upgrade-rolling", bounds: calm, run: upgradeRolling},
)

const nextVersion = "lab-next"

// nextPgherd is a later version: it says so, and all that it writes into the store or tells other members has a
// field that today's version does not know. Readers must be older than writers for a while.
func nextPgherd() (string, error) {
	o := overlay{name: "next", flags: []string{"-ldflags", "-X github.com/pgherd/pgherd/internal/cli.version=" + nextVersion}}
	for path, structs := range map[string][]string{
		"internal/core/record.go": {"LeaseRecord", "ClusterRecord", "MemberRecord", "SyncSet", "Operation"},
		"internal/peer/status.go": {"Status"},
		"internal/core/view.go":   {"Instance"},
	} {
		file, err := source("repository", path)
		if err != nil {
			return "", err
		}
		for _, name := range structs {
			line := "type " + name + " struct {\n"
			o.edits = append(o.edits, edit{file, line, line + "	LabNext string `json:\"lab_next\"`\n"})
		}
	}
	return o.build()
}

func upgradeRolling(l *Lab) {
	next, err := nextPgherd()
	if err != nil {
		l.T.Fatal(err)
	}
	p := l.primary()
	before := guards(p)
	for _, m := range append(l.Cluster.Standbys(p), p) {
		l.upgrade(m, next)
	}
	if now := guards(p); now != before {
		l.T.Errorf("postmaster and warden %v are now %v", before, now)
	}
	l.Load.WaitAcked(200)
	l.Cluster.WaitReady(30 * time.Second)
	l.Mark("and back to the old version, on the primary first: it reads what the new one wrote")
	for _, m := range append([]*cluster.Member{p}, l.Cluster.Standbys(p)...) {
		l.upgrade(m, exe)
	}
	l.Load.WaitAcked(200)
	l.Judge = l.noneFailed
}

// upgrade exchanges one member's agent as the documentation says: SIGUSR2, then the new one.
func (l *Lab) upgrade(m *cluster.Member, exe string) {
	l.T.Helper()
	l.Mark("SIGUSR2 to the agent of %s, then %s", m.Name, exe)
	m.Signal(cluster.Agent, syscall.SIGUSR2)
	m.WaitAgentEnd(10 * time.Second)
	m.Exe = exe
	m.StartAgent()
	l.Cluster.Wait(20*time.Second, m.Name+" works on", func() bool {
		s, ok := m.Status()
		state := cluster.Of(s, m.Name).State
		version, _ := m.Version()
		return ok && (state == "running" || state == "streaming") && (version == nextVersion) == (exe != l.Cluster.Config.Exe)
	})
	l.Cluster.Wait(20*time.Second, "the cluster is whole with "+fmt.Sprint(m.Name), func() bool { return l.Cluster.Broken() == "" })
}
