package agent

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/observe"
)

func (a *Agent) mountFile() string { return filepath.Join(a.o.Config.StateDir, "data-mount") }

func (a *Agent) readMount() string {
	text, _ := os.ReadFile(a.mountFile())
	return strings.TrimSpace(string(text))
}

// rememberMount writes down, once, where the data's volume is mounted.
func (a *Agent) rememberMount(v core.View) {
	if a.server == nil || v.Local.Data.State != core.DataPresent || v.Local.Instance.State != core.StateRunning || a.mountKnown {
		return
	}
	a.mountKnown = true
	if a.readMount() != "" {
		return
	}
	mount := observe.MountPoint(a.server.Instance.DataDir)
	if err := WriteFile(a.mountFile(), []byte(mount+"\n"), 0o600); err != nil {
		a.o.Log.Warn("the data's mount point could not be written down", "error", err)
	}
}
