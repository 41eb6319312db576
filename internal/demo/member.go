package demo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// member is one member of the demo and the supervisor of its agent.
type member struct {
	name, dir, config string
	ports             Ports

	mu     sync.Mutex
	up     bool          // the agent is wanted
	ended  chan struct{} // closed when the supervisor has ended; nil: none was started
	quick  int           // how often in a row the agent ended at once
	reason string        // the last line of its log then
}

func newMember(dir, name string, ports Ports) *member {
	m := &member{name: name, dir: filepath.Join(dir, name), ports: ports}
	m.config = filepath.Join(m.dir, "pgherd.yaml")
	return m
}

func (m *member) stateDir() string { return filepath.Join(m.dir, "state") }
func (m *member) logFile() string  { return filepath.Join(m.dir, "agent.log") }

// socketDir is where pgherd puts PostgreSQL's unix socket when it is not told otherwise.
func (m *member) socketDir() string { return filepath.Join(m.stateDir(), "run") }

func (m *member) wanted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.up
}

// restartPause is what systemd is told too: an agent that ended comes back after 1 s.
const restartPause = time.Second

// quickEnd: an agent that ends sooner than this did not come up at all.
const quickEnd = 3 * time.Second

// start keeps the member's agent running until stop is called.
func (m *member) start(exe string, say func(string, ...any)) error {
	m.mu.Lock()
	up, ended := m.up, m.ended
	m.mu.Unlock()
	if up {
		return nil
	}
	if ended != nil {
		<-ended // the supervisor of the agent before must not see this one's up
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	cmd, err := m.spawn(exe)
	if err != nil {
		return fmt.Errorf("starting %s: %w", m.name, err)
	}
	m.up, m.quick, m.ended = true, 0, make(chan struct{})
	go m.supervise(cmd, exe, m.ended, say)
	return nil
}

// unwant says that the agent is not to be started again; ending it is the caller's.
func (m *member) unwant() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up = false
}

func (m *member) supervise(cmd *exec.Cmd, exe string, ended chan struct{}, say func(string, ...any)) {
	defer close(ended)
	for {
		began := time.Now()
		_ = cmd.Wait()
		if !m.wanted() {
			return
		}
		if n := m.noteEnd(cmd.ProcessState, time.Since(began)); n%10 <= 1 {
			say("%s: the agent ended (%s)%s; it is started again", m.name, cmd.ProcessState, m.why())
		}
		for cmd = nil; cmd == nil; {
			time.Sleep(restartPause)
			if !m.wanted() {
				return
			}
			cmd, _ = m.spawn(exe)
		}
	}
}

// noteEnd counts the ends in a row that the agent chose itself, soon after its start.
func (m *member) noteEnd(how *os.ProcessState, lived time.Duration) int {
	line := lastLine(m.logFile())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reason = ""
	if lived > quickEnd || !how.Exited() {
		m.quick = 0
		return 0
	}
	m.quick++
	m.reason = line
	return m.quick
}

func (m *member) why() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reason == "" {
		return ""
	}
	return ": " + m.reason
}

// spawn starts the agent in a session of its own. As root it starts as root, as systemd
// does it: the agent itself changes to the owner of its state directory.
func (m *member) spawn(exe string) (*exec.Cmd, error) {
	log, err := os.OpenFile(m.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(exe, "run", "--config", m.config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, cmd.Start()
}

// hopeless tells why the agent will not come up, when it ended at once several times.
func (m *member) hopeless() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.quick < 4 {
		return nil
	}
	return fail(fmt.Sprintf("%s's agent does not come up: %s", m.name, m.reason), "its log: "+m.logFile())
}

// lastLine gives the last line of a log that is not empty.
func lastLine(path string) string {
	const tailBytes = 4096
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd)
	}
	data, _ := io.ReadAll(f)
	lines := strings.Split(string(bytes.TrimSpace(data)), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "error: ")
}
