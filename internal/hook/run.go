package hook

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Deadline is what one program has.
	Deadline = 10 * time.Second

	outputBytesMax = 8 << 10
	// outputGrace is for what a program that has ended may still have in its pipe. Whoever
	// left its process group and keeps the pipe open is not waited for.
	outputGrace = 200 * time.Millisecond
)

var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}

// call runs one program to its end, or to the deadline, and gives what it printed.
func call(path string, e Event, deadline time.Duration) (output string, err error) {
	from, to, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer from.Close()
	cmd := exec.Command(path, e.Name, e.Cluster, e.Member, strconv.FormatUint(e.Term, 10))
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", environment, to, to
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	to.Close()
	if err != nil {
		return "", err
	}
	text := make(chan string, 1)
	go func() { text <- bounded(from) }()
	late := !waited(cmd.Process.Pid, deadline)
	// Before it is reaped: its number is nobody else's until then.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	err = cmd.Wait()
	_ = from.SetReadDeadline(time.Now().Add(outputGrace))
	output = <-text
	if late {
		err = fmt.Errorf("it had not ended after %s and was killed", deadline)
	}
	return output, err
}

// waited waits for the end of a child without reaping it.
func waited(pid int, limit time.Duration) bool {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			var info unix.Siginfo
			if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// bounded keeps the beginning and reads on, so that a talkative program does not wait for a reader.
func bounded(from io.Reader) string {
	head, _ := io.ReadAll(io.LimitReader(from, outputBytesMax))
	more, _ := io.Copy(io.Discard, from)
	text := strings.TrimSpace(strings.ToValidUTF8(string(head), "?"))
	if more > 0 {
		text += fmt.Sprintf(" [%d bytes more]", more)
	}
	return text
}
