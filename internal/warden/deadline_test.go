package warden

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// fenceBound is how long after its deadline the instance may still not be empty.
const fenceBound = 500 * time.Millisecond

type agentOrder struct {
	Options Options
	Command Command
	TTL     time.Duration
	Term    uint64
}

// testAgent is an agent in a process of its own: it gets a warden, starts postgres, arms it,
// says the deadline and then holds on until it is killed.
func testAgent(args []string) int {
	var order agentOrder
	if err := json.Unmarshal([]byte(args[0]), &order); err != nil {
		return 1
	}
	ctx := context.Background()
	c, err := Ensure(ctx, order.Options)
	if err == nil {
		err = c.Arm(ctx, BootNow().Add(time.Minute), order.Term)
	}
	if err == nil {
		err = c.Start(ctx, order.Command)
	}
	fmt.Println(c.Status().WardenPID, err)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // the test has its busy backend
	_ = c.Disarm(ctx, order.Term)                     // forget the long deadline
	deadline := BootNow().Add(order.TTL)
	err = c.Arm(ctx, deadline, order.Term)
	fmt.Println(int64(deadline), err)
	select {}
}

// agent runs testAgent and gives its deadline once a backend is busy.
func (i *instance) agent(ttl time.Duration, term uint64) (cmd *exec.Cmd, deadline core.Instant, told <-chan error) {
	i.t.Helper()
	order, err := json.Marshal(agentOrder{i.o, i.command(), ttl, term})
	must(i.t, err)
	cmd = exec.Command(testExe, "test-agent", string(order))
	in, err := cmd.StdinPipe()
	must(i.t, err)
	out, err := cmd.StdoutPipe()
	must(i.t, err)
	must(i.t, cmd.Start())
	i.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	i.wardenPID = scan[int](i.t, out)
	_, told = i.busy(30 * time.Second)
	_, err = io.WriteString(in, "\n")
	must(i.t, err)
	return cmd, scan[core.Instant](i.t, out), told
}

// scan reads a line "VALUE <nil>".
func scan[T any](t testing.TB, r io.Reader) (v T) {
	t.Helper()
	var problem string
	_, err := fmt.Fscanln(r, &v, &problem)
	must(t, err)
	if problem != "<nil>" {
		t.Fatal("agent:", problem)
	}
	return v
}

func checkFenced(t *testing.T, s Status, deadline core.Instant, term uint64) {
	t.Helper()
	if s.Fenced == nil {
		t.Fatalf("not fenced: %+v", s)
	}
	late := s.Fenced.At.Sub(deadline)
	t.Logf("fenced %v after the deadline, empty %v later", late, s.Fenced.EmptyAfter)
	if late < 0 || late+s.Fenced.EmptyAfter > fenceBound {
		t.Errorf("fenced %v after the deadline, empty %v later", late, s.Fenced.EmptyAfter)
	}
	if s.Fenced.Term != term || !s.Empty || s.Armed || s.Deadline != 0 || s.PostmasterPID != 0 {
		t.Errorf("status %+v", s)
	}
}

// The agent is killed; the warden lives on, tells a new client everything, and
// keeps the deadline.
func TestDeadlineIsKeptWithoutTheAgent(t *testing.T) {
	i := newInstance(t)
	agent, deadline, told := i.agent(1500*time.Millisecond, 7)
	must(t, agent.Process.Kill())
	_ = agent.Wait()

	c := i.ensure()
	s := c.Status()
	if s.Deadline != deadline || s.Term != 7 || s.PostmasterPID == 0 || s.Empty || !s.Alive || s.StartedAt == 0 {
		t.Errorf("a new client was told %+v, want deadline %d", s, deadline)
	}
	select {
	case err := <-told:
		t.Errorf("the client lost its connection before the deadline: %v", err)
	default:
	}
	pids := i.processes()
	s = awaitStatus(t, c, "the fence", empty)
	checkFenced(t, s, deadline, 7)
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	if err := <-told; err == nil {
		t.Error("the busy backend acknowledged its client")
	}
}

func TestFrozenPostgresIsKilledAtTheDeadline(t *testing.T) {
	i := newInstance(t)
	c := i.running()
	i.busy(30 * time.Second)
	for _, pid := range i.processes() {
		freeze(t, pid)
	}
	deadline := BootNow().Add(300 * time.Millisecond)
	must(t, c.Arm(ctx(t), deadline, 2))
	checkFenced(t, awaitStatus(t, c, "the fence", empty), deadline, 2)
}

// A warden that was itself frozen (or whose machine slept) past the deadline fences
// as soon as it runs.
func TestFrozenWardenFencesWhenItWakes(t *testing.T) {
	i := newInstance(t)
	c := i.running()
	deadline := BootNow().Add(300 * time.Millisecond)
	must(t, c.Arm(ctx(t), deadline, 2))
	freeze(t, i.wardenPID)
	await(t, "the deadline to pass", func() bool { return BootNow() > deadline.Add(200*time.Millisecond) })
	if len(i.processes()) == 0 {
		t.Fatal("the instance is gone: the warden was not frozen")
	}
	woken := BootNow()
	must(t, syscall.Kill(i.wardenPID, syscall.SIGCONT))
	s := awaitStatus(t, c, "the fence", empty)
	if took := s.EmptyAt.Sub(woken); took > fenceBound {
		t.Errorf("took %v after waking", took)
	}
}

func TestArmMovesForwardOnly(t *testing.T) {
	c := newInstance(t).ensure()
	now := BootNow()
	at := func(seconds int) core.Instant { return now.Add(time.Duration(seconds) * time.Second) }
	steps := []struct {
		do       string
		deadline core.Instant
		term     uint64
		want     error
		wantAt   core.Instant
		wantTerm uint64
	}{
		{"arm", at(60), 5, nil, at(60), 5},
		{"arm", at(90), 5, nil, at(90), 5},
		{"arm", at(70), 5, nil, at(90), 5},          // a late answer: no error, no move
		{"arm", at(99), 4, ErrLowerTerm, at(90), 5}, // the stale agent
		{"arm", at(80), 6, nil, at(90), 6},          // a higher term, but never backward
		{"arm", at(-1), 6, ErrDeadlinePast, at(90), 6},
		{"arm", at(-1), 9, ErrDeadlinePast, at(90), 6}, // a refusal changes nothing
		{"disarm", 0, 5, ErrLowerTerm, at(90), 6},
		{"disarm", 0, 6, nil, 0, 6},
		{"arm", at(50), 6, nil, at(50), 6}, // after a disarm any future deadline counts
		{"disarm", 0, 8, nil, 0, 8},
		{"arm", at(50), 7, ErrLowerTerm, 0, 8},
	}
	for n, s := range steps {
		var err error
		if s.do == "arm" {
			err = c.Arm(ctx(t), s.deadline, s.term)
		} else {
			err = c.Disarm(ctx(t), s.term)
		}
		got := c.Status()
		if !errors.Is(err, s.want) || (err != nil) != (s.want != nil) || got.Deadline != s.wantAt || got.Term != s.wantTerm {
			t.Errorf("step %d %+v: error %v, deadline %d, term %d", n, s, err, got.Deadline, got.Term)
		}
	}
}

// Whoever starts postgres must first have said, in this warden's life and since its last fence,
// until when it may run.
func TestStartNeedsFreshPermission(t *testing.T) {
	i := newInstance(t)
	c := i.ensure()
	refused := func(when string) {
		t.Helper()
		if err := c.Start(ctx(t), i.command()); !errors.Is(err, ErrNotArmed) {
			t.Fatalf("Start %s: %v, want ErrNotArmed", when, err)
		}
	}
	refused("on a new warden")
	must(t, c.Arm(ctx(t), BootNow().Add(100*time.Millisecond), 3))
	awaitStatus(t, c, "the deadline", func(s Status) bool { return !s.Armed })
	refused("after the deadline passed with nothing running")
	if f := c.Status().Fenced; f != nil {
		t.Errorf("nothing ran, yet fenced: %+v", f)
	}

	must(t, c.Arm(ctx(t), BootNow().Add(time.Minute), 3))
	must(t, c.Start(ctx(t), i.command()))
	i.connect()
	if err := c.Start(ctx(t), i.command()); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a second Start: %v, want ErrNotEmpty", err)
	}
	must(t, c.Fence(ctx(t), "the agent says so"))
	s := c.Status()
	if !s.Empty || s.Fenced == nil || s.Fenced.Reason != "the agent says so" || s.Fenced.EmptyAfter == 0 || len(i.processes()) != 0 {
		t.Errorf("after Fence: %+v %+v", s, s.Fenced)
	}
	refused("after a fence")
	must(t, c.Disarm(ctx(t), 3))
	must(t, c.Start(ctx(t), i.command()))
	i.connect()
	if f := c.Status().Fenced; f != nil {
		t.Errorf("started again, yet fenced: %+v", f)
	}
}

// The agent's renewals must not wake the agent.
func TestMovedDeadlineIsNoChange(t *testing.T) {
	c := newInstance(t).ensure()
	must(t, c.Arm(ctx(t), BootNow().Add(time.Minute), 3))
	<-c.Changes()
	must(t, c.Arm(ctx(t), BootNow().Add(2*time.Minute), 3))
	select {
	case <-c.Changes():
		t.Error("a renewal made a change")
	default:
	}
	must(t, c.Arm(ctx(t), BootNow().Add(2*time.Minute), 4))
	<-c.Changes()
}

// Starting hangs (here: opening the log, as on a hung disk) until after the deadline. The
// warden stays responsive, does not call the instance empty, and kills what is born late.
func TestDeadlinePassesDuringAHungStart(t *testing.T) {
	i := newInstance(t)
	c := i.ensure()
	fifo := filepath.Join(i.o.StateDir, "postgres.log")
	must(t, syscall.Mkfifo(fifo, 0o666))
	must(t, os.Chmod(fifo, 0o666))
	deadline := BootNow().Add(200 * time.Millisecond)
	must(t, c.Arm(ctx(t), deadline, 2))
	started := make(chan error, 1)
	go func() { started <- c.Start(context.Background(), i.command()) }()
	s := awaitStatus(t, c, "the deadline", func(s Status) bool { return s.Fenced != nil })
	if s.Empty {
		t.Error("called empty while a fork is under way")
	}
	if err := c.Start(ctx(t), i.command()); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a second Start: %v, want ErrNotEmpty", err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	must(t, err)
	defer reader.Close()
	<-started
	s = awaitStatus(t, c, "emptiness", empty)
	if s.Armed || s.LastExit == nil || s.LastExit.Signal != "killed" || len(i.processes()) != 0 {
		t.Errorf("status %+v, exit %+v", s, s.LastExit)
	}
}
