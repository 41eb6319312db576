package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// ProgramError is a PostgreSQL program that failed, with its own words.
type ProgramError struct {
	Program string
	Output  string // the end of stderr, untranslated
	Err     error
}

func (e *ProgramError) Error() string {
	if e.Output == "" {
		return fmt.Sprintf("%s: %v", e.Program, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.Program, e.Err, e.Output)
}

func (e *ProgramError) Unwrap() error { return e.Err }

// command builds a program that dies with us: killed as a whole process group when
// ctx ends (pg_basebackup forks a WAL receiver of its own), and by the kernel when
// the agent dies.
func command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = programEnv()
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// run runs cmd to its end, giving each line (ended by \n or \r) of its stderr to
// onLine. The returned text is the end of stderr.
func run(ctx context.Context, cmd *exec.Cmd, onLine func(string)) (string, error) {
	// Pdeathsig is sent when the *thread* that forked ends, so it must not end before the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	lines := &lineWriter{onLine: onLine}
	cmd.Stderr = lines
	err := cmd.Run()
	lines.flush()
	if err == nil {
		return lines.tail(), nil
	}
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return lines.tail(), &ProgramError{filepath.Base(cmd.Path), lines.tail(), err}
}

// output runs a program and gives its stdout.
func output(ctx context.Context, program string, args ...string) (string, error) {
	cmd := command(ctx, program, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	_, err := run(ctx, cmd, nil)
	return out.String(), err
}

// stream runs a program and gives each line of its stdout to onLine as it comes.
// The returned text is the end of its stderr.
func stream(ctx context.Context, onLine func(string), program string, args ...string) (string, error) {
	return streamCommand(ctx, command(ctx, program, args...), onLine)
}

func streamCommand(ctx context.Context, cmd *exec.Cmd, onLine func(string)) (string, error) {
	pr, pw := io.Pipe()
	cmd.Stdout = pw
	read := make(chan struct{})
	go func() {
		defer close(read)
		in := bufio.NewReaderSize(pr, 1<<16)
		for {
			line, err := in.ReadString('\n')
			if strings.HasSuffix(line, "\n") { // a record cut by the program's end is no record
				onLine(line[:len(line)-1])
			}
			if err != nil {
				return
			}
		}
	}()
	text, err := run(ctx, cmd, nil)
	_ = pw.Close()
	<-read
	return text, err
}

const tailLinesMax = 20

// lineWriter cuts a stream into lines at \n and \r and keeps the last ones.
type lineWriter struct {
	onLine func(string)
	part   []byte
	last   []string
}

func (w *lineWriter) Write(p []byte) (int, error) {
	for _, b := range p {
		if b == '\n' || b == '\r' {
			w.flush()
			continue
		}
		w.part = append(w.part, b)
	}
	return len(p), nil
}

func (w *lineWriter) flush() {
	line := strings.TrimSpace(string(w.part))
	w.part = w.part[:0]
	if line == "" {
		return
	}
	if w.last = append(w.last, line); len(w.last) > tailLinesMax {
		w.last = w.last[1:]
	}
	if w.onLine != nil {
		w.onLine(line)
	}
}

func (w *lineWriter) tail() string { return strings.Join(w.last, "\n") }
