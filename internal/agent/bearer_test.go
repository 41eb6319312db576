package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/vip"
	"github.com/pgherd/pgherd/internal/warden"
)

// ownNetwork runs the calling test once more in a network namespace of its own, with an interface
// lan0, and says whether this is the run inside.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	const inside = "AGENT_TEST_NETWORK"
	if os.Getenv(inside) != "" {
		ip(t, "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
		ip(t, "link", "set", "lan0", "up")
		ip(t, "link", "set", "lan1", "up")
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in a network namespace: %v\n%s", err, out)
	}
	return false
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

// stand is a bearer on a real interface, and the warden's part of it.
type stand struct {
	*bearer
	t        *testing.T
	dir      string
	guarded  *vip.Address
	guardErr error
}

func newStand(t *testing.T) *stand {
	s := &stand{t: t, dir: t.TempDir()}
	s.restart("lan0")
	return s
}

// restart is a new agent.
func (s *stand) restart(iface string) {
	s.bearer = openBearer(s.dir, iface, slog.New(slog.DiscardHandler))
	if s.bearer != nil {
		s.guard = func(_ context.Context, a *vip.Address) error {
			if s.guardErr == nil {
				s.guarded = a
			}
			return s.guardErr
		}
	}
}

const first, second = "10.6.0.100/24", "10.6.0.101/24"

// settle looks until nothing changes any more, as outward does.
func (s *stand) settle(stands standing, address string) error {
	s.t.Helper()
	for range 10 {
		changed, err := s.look(context.Background(), wish{stands: stands, prefix: spec.VIP{Address: address}.Prefix(), guarded: s.guarded,
			members: []core.MemberRecord{{Name: "n1", Address: "10.6.0.1"}, {Name: "n2", Address: "n2.example.org"}}})
		if err != nil || !changed {
			return err
		}
	}
	s.t.Fatal("it does not settle")
	return nil
}

// shows fails unless exactly these addresses are on the interface.
func (s *stand) shows(when string, want ...string) {
	s.t.Helper()
	out, err := exec.Command("ip", "-4", "-o", "address", "show", "dev", "lan0").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	var have []string
	for line := range strings.Lines(string(out)) {
		have = append(have, strings.Fields(line)[3])
	}
	if strings.Join(have, " ") != strings.Join(want, " ") {
		s.t.Errorf("%s: the interface has %v, want %v", when, have, want)
	}
}

func (s *stand) must(when string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Errorf("%s: %v", when, err)
	}
}

func TestBearerFollowsTheStanding(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	s := newStand(t)
	s.must("standby", s.settle(standsStandby, first))
	s.shows("standby")
	s.must("primary", s.settle(standsPrimary, first))
	s.shows("primary", first)
	if s.guarded == nil || s.guarded.Prefix.String() != first {
		t.Errorf("the warden guards %v", s.guarded)
	}
	s.must("unknown", s.settle(standsUnknown, first))
	s.shows("unknown: it stays", first)
	ip(t, "address", "del", first, "dev", "lan0")
	s.must("taken away by others", s.settle(standsPrimary, first))
	s.shows("it is put back", first)
	s.must("another address", s.settle(standsPrimary, second))
	s.shows("another address", second)
	s.must("no address any more", s.settle(standsPrimary, ""))
	s.shows("no address any more")
	for _, stands := range []standing{standsFenced, standsStopped, standsStandby} {
		s.must("primary", s.settle(standsPrimary, first))
		s.shows("primary", first)
		s.must(string(stands), s.settle(stands, first))
		s.shows(string(stands))
		if s.guarded != nil {
			t.Errorf("%s: the warden still guards %v", stands, s.guarded)
		}
	}
}

// TestNewAgentKnowsWhatIsLeft: it neither takes an address from a primary that runs on, nor
// leaves one on a member that is none any more.
func TestNewAgentKnowsWhatIsLeft(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	s := newStand(t)
	s.must("primary", s.settle(standsPrimary, first))
	s.restart("lan0")
	s.must("a new agent", s.settle(standsUnknown, ""))
	s.shows("a new agent", first)
	s.must("still primary", s.settle(standsPrimary, first))
	s.shows("still primary", first)
	s.restart("lan0")
	s.must("not primary any more", s.settle(standsStandby, ""))
	s.shows("not primary any more")

	s.must("primary", s.settle(standsPrimary, first))
	s.restart("") // the interface is not in pgherd.yaml any more
	s.must("no part any more", s.settle(standsPrimary, first))
	s.shows("no part any more")
	if s.restart(""); s.bearer != nil {
		t.Error("there is nothing left to do, and a bearer for it")
	}
}

// TestForeignAddressIsLeftAlone: what pgherd has not put up, it does not remove.
func TestForeignAddressIsLeftAlone(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	s := newStand(t)
	ip(t, "address", "add", first, "dev", "lan0")
	err := s.settle(standsStandby, first)
	if err == nil || !strings.Contains(err.Error(), "pgherd has not put it there") {
		t.Errorf("a foreign address on a standby: %v", err)
	}
	s.shows("a foreign address", first)
	s.must("as primary it is taken over", s.settle(standsPrimary, first))
	s.must("and is ours from then on", s.settle(standsStandby, first))
	s.shows("and is ours from then on")

	ip(t, "address", "add", "10.6.0.1/24", "dev", "lan0")
	if err := s.settle(standsPrimary, "10.6.0.1/24"); err == nil || !strings.Contains(err.Error(), "is the address of member n1") {
		t.Errorf("a member's own address: %v", err)
	}
	_ = s.settle(standsStandby, "10.6.0.1/24")
	s.shows("a member's own address", "10.6.0.1/24")
}

func TestBearerAndWarden(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	s := newStand(t)
	s.guardErr = warden.ErrNotRunning
	s.must("PostgreSQL has just ended", s.settle(standsPrimary, first))
	s.shows("PostgreSQL has just ended")
	s.guardErr = warden.ErrCapability
	if err := s.settle(standsPrimary, first); !errors.Is(err, warden.ErrCapability) {
		t.Errorf("a warden that cannot: %v", err)
	}
	s.shows("a warden that cannot", first)
	s.guardErr = nil
	s.must("a warden that can", s.settle(standsPrimary, first))
	s.guarded = nil // a new warden
	s.must("a new warden", s.settle(standsPrimary, first))
	if s.guarded == nil {
		t.Error("the new warden was not told")
	}
}

func TestBearerTellsWhatIsMissing(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	s := newStand(t)
	s.iface = "lan7"
	for _, stands := range []standing{standsStandby, standsUnknown, standsPrimary} {
		if err := s.settle(stands, first); err == nil || !strings.Contains(err.Error(), "vip.interface lan7") {
			t.Errorf("%q: %v", stands, err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, vipFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.restart("lan0"); s.bearer == nil || s.borne != nil {
		t.Error("a damaged note")
	}
}

// TestAnnouncements: more often in the beginning, and then for as long as it is here.
func TestAnnouncements(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	s := newStand(t)
	s.must("primary", s.settle(standsPrimary, first))
	for n, want := range []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second, announceEvery, announceEvery} {
		if wait := time.Until(s.next); s.announced != n+1 || wait > want || wait < want-150*time.Millisecond {
			t.Errorf("after announcement %d the next is in %v, want %v", s.announced, wait, want)
		}
		s.next = time.Time{}
		s.must("again", s.settle(standsPrimary, first))
	}
}

// shown is an outward with hooks that write what they are called with.
func shown(t *testing.T) (o *outward, called func() string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "outward-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	script := "#!/bin/sh\necho $* >>" + dir + "/called\ntest $1 != fenced\n"
	if err := os.Mkdir(dir+"/hooks", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/hooks/10-write", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	a := &Agent{o: Options{Config: spec.Member{Name: "n1", StateDir: dir, HooksDir: dir + "/hooks"}, Log: slog.New(slog.DiscardHandler)}, wake: make(chan struct{}, 1)}
	a.id.Cluster = "main"
	return newOutward(a), func() string {
		text, _ := os.ReadFile(dir + "/called")
		return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ", ")
	}
}

// TestHooksHearEachRoleOnce: the same role is no news, unknown is none, and a failure is a condition until
// the next that succeeds.
func TestHooksHearEachRoleOnce(t *testing.T) {
	o, called := shown(t)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = o.hooks.Keep(ctx); close(ended) }()
	defer func() { stop(); <-ended }()
	want := ""
	for _, c := range []struct {
		stands standing
		term   uint64
		told   string
	}{
		{standsUnknown, 7, ""}, {standsStandby, 7, "standby main n1 7"}, {standsStandby, 8, ""}, {standsUnknown, 8, ""}, {standsStandby, 8, ""},
		{standsPrimary, 9, "primary main n1 9"}, {standsPrimary, 9, ""}, {standsPrimary, 10, "primary main n1 10"}, {standsFenced, 10, "fenced main n1 10"},
	} {
		o.a.newest.Store(&journal.Entry{Report: core.Report{Term: c.term}})
		o.tell(c.stands)
		if c.told != "" {
			want = strings.TrimPrefix(want+", "+c.told, ", ")
		}
		for began := time.Now(); called() != want && time.Since(began) < 5*time.Second; time.Sleep(5 * time.Millisecond) {
		}
		if got := called(); got != want {
			t.Fatalf("after %q in term %d: called %q, want %q", c.stands, c.term, got, want)
		}
	}
	for o.hooks.Problem() == "" {
		<-o.a.wake
	}
	found := o.conditions(5)
	if len(found) != 1 || found[0].Code != core.CondHook || !strings.Contains(found[0].Text, "10-write fenced: exit status 1") || found[0].Since != 5 || o.conditions(9)[0].Since != 5 {
		t.Errorf("conditions %+v", found)
	}
	o.tell(standsStandby)
	for o.hooks.Problem() != "" {
		<-o.a.wake
	}
	if found := o.conditions(10); len(found) != 0 {
		t.Errorf("conditions %+v", found)
	}
}

// TestVIPFailedIsAConditionWhileItLasts, from its beginning.
func TestVIPFailedIsAConditionWhileItLasts(t *testing.T) {
	o, _ := shown(t)
	o.note(3, errors.New("broken"))
	o.note(4, errors.New("broken in another way"))
	if found := o.conditions(5); len(found) != 1 || found[0].Code != core.CondVIP || found[0].Since != 3 || found[0].Text != "broken in another way" || found[0].Severity != core.Error {
		t.Errorf("conditions %+v", found)
	}
	o.note(6, nil)
	if found := o.conditions(7); len(found) != 0 {
		t.Errorf("conditions %+v", found)
	}
	if none := (*outward)(nil); none.conditions(1) != nil {
		t.Error("conditions of nobody")
	}
}
