package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const layoutBytesMax = 64 << 10

// readLayout reads DIR/layout.json. fs.ErrNotExist: there is none. Any other error is a
// refusal: a file of that name that the demo did not write makes the directory nobody's
// to use or to remove.
func readLayout(dir string) (layout, error) {
	path := filepath.Join(dir, layoutName)
	data, err := readRegular(path, layoutBytesMax)
	if errors.Is(err, fs.ErrNotExist) {
		return layout{}, err
	}
	var l layout
	if err == nil {
		if err = json.Unmarshal(data, &l); err == nil {
			err = l.check()
		}
	}
	if err != nil {
		return layout{}, refuse(fmt.Sprintf("%s is not a demo's: %s", path, err), "choose an empty or a new directory: --dir")
	}
	return l, nil
}

// check holds the layout against what layOut writes: paths and ports are made of it.
func (l layout) check() error {
	if l.Mark != layoutMark {
		return fmt.Errorf(`"pgherd_demo" is %d, want %d`, l.Mark, layoutMark)
	}
	if n := len(l.Members); n < 1 || n > nodesMax {
		return fmt.Errorf("%d members, want 1 to %d", n, nodesMax)
	}
	used := map[int]bool{}
	for i, m := range l.Members {
		if m.Name != memberName(i) {
			return fmt.Errorf("member %d is called %q, want %q", i+1, m.Name, memberName(i))
		}
		for _, port := range m.Ports.all() {
			if port < portMin || port > 65535 || used[port] {
				return fmt.Errorf("port %d of %s: want %d to 65535, each once", port, m.Name, portMin)
			}
			used[port] = true
		}
	}
	return nil
}

func memberName(i int) string { return fmt.Sprintf("n%d", i+1) }

// readRegular reads a file that is neither a link nor anything that blocks, nor longer
// than bytesMax.
func readRegular(path string, bytesMax int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > bytesMax {
		return nil, fmt.Errorf("%s is no regular file of at most %d bytes", path, bytesMax)
	}
	return io.ReadAll(io.LimitReader(f, bytesMax))
}
