//go:build lab

package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pgherd/pgherd/lab/cluster"
)

// overlay builds a pgherd that differs from the one under test in named places of its source, and in nothing
// else. A place that is not found is an error: the fault would not be there.
type overlay struct {
	name  string
	flags []string
	edits []edit
	added map[string]string // path -> content
}

type edit struct{ path, old, new string }

// build compiles it, once a test process.
func (o overlay) build() (string, error) {
	exe := filepath.Join(binDir, "pgherd-"+o.name)
	if _, err := os.Stat(exe); err == nil {
		return exe, nil
	}
	replace := map[string]string{}
	for path, text := range o.added {
		replace[path] = o.write("added-"+filepath.Base(path), text)
	}
	for i, e := range o.edits {
		from := e.path
		if edited, ok := replace[e.path]; ok {
			from = edited
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if !strings.Contains(string(text), e.old) {
			return "", fmt.Errorf("%s does not hold %q any more: adapt the lab's overlay", e.path, e.old)
		}
		replace[e.path] = o.write(fmt.Sprintf("%d-%s", i, filepath.Base(e.path)), strings.Replace(string(text), e.old, e.new, 1))
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	return cluster.Build(binDir, filepath.Base(exe), append([]string{"-overlay", o.write("list.json", string(list))}, o.flags...)...)
}

func (o overlay) write(name, text string) string {
	path := filepath.Join(binDir, "overlay-"+o.name+"-"+name)
	_ = os.WriteFile(path, []byte(text), 0o644) // go build says what is missing
	return path
}

// source gives a file of this repository or of Go itself.
func source(kind, path string) (string, error) {
	args := map[string][]string{"repository": {"list", "-m", "-f", "{{.Dir}}"}, "go": {"env", "GOROOT"}}[kind]
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		return "", fmt.Errorf("go %v: %w", args, err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), path), nil
}
