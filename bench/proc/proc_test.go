package proc

import (
	"os"
	"testing"
	"time"
)

func TestIdleOfTheMachine(t *testing.T) {
	before := parseMachine("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
	after := parseMachine("cpu  140 0 120 730 110 0 0 0 50 0\n")
	if got := after.IdleSince(before); got != 40 {
		t.Errorf("idle %v %%, want 40", got)
	}
	if before.All != 10*time.Second || before.Idle != 8*time.Second {
		t.Errorf("%+v", before)
	}
	if now := Now(); now.All == 0 || now.IdleSince(now) != 0 {
		t.Errorf("this machine: %+v", now)
	}
}

func TestProcesses(t *testing.T) {
	for end := time.Now().Add(time.Minute); CPU(os.Getpid()) == 0 && time.Now().Before(end); {
	}
	if CPU(os.Getpid()) == 0 || RSS(os.Getpid()) < 1 {
		t.Errorf("this process: %v, %v MB", CPU(os.Getpid()), RSS(os.Getpid()))
	}
	if CPU(1<<30) != 0 || RSS(1<<30) != 0 {
		t.Error("a process that is not there has used something")
	}
}
