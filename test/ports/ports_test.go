package ports

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const asked = 200

// TestNoPortTwice: in one process, and in two at once that begin at the same place.
func TestNoPortTwice(t *testing.T) {
	if at := os.Getenv("PGHERD_TEST_PORTS_AT"); at != "" {
		next, _ = strconv.Atoi(at)
		for range asked {
			os.Stdout.WriteString("port " + strconv.Itoa(Free(t)) + "\n")
		}
		return
	}
	seen := map[int]bool{}
	begin := next
	for range asked {
		port := Free(t)
		if seen[port] {
			t.Errorf("%d twice", port)
		}
		seen[port] = true
	}
	other := exec.Command(os.Args[0], "-test.run", "^TestNoPortTwice$")
	other.Env = append(os.Environ(), "PGHERD_TEST_PORTS_AT="+strconv.Itoa(begin))
	out, err := other.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	given := 0
	for line := range strings.Lines(string(out)) {
		if port, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "port "))); err == nil {
			given++
			if seen[port] {
				t.Errorf("%d in both processes", port)
			}
		}
	}
	if given != asked {
		t.Errorf("the other process was given %d ports, want %d", given, asked)
	}
}

func TestNotTheOneThatIsUsed(t *testing.T) {
	l, err := net.Listen("tcp", Addr(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	used := l.Addr().(*net.TCPAddr).Port
	held[len(held)-1].Close() // as if a program listened that asks nobody
	next = used - 1
	if got := Free(t); got == used {
		t.Errorf("%d is in use", got)
	}
}
