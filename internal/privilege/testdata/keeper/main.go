// Command keeper does what pgherd does at its start, and says what became of it.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgherd/pgherd/internal/privilege"
)

func main() {
	switch os.Args[1] {
	case "become":
		uid, _ := strconv.Atoi(os.Args[2])
		gid, _ := strconv.Atoi(os.Args[3])
		err := privilege.BecomeKeeping(func() error {
			return errors.Join(syscall.Setgroups([]int{gid}), syscall.Setgid(gid), syscall.Setuid(uid))
		})
		fail(err)
		fail(syscall.Exec("/proc/self/exe", []string{"keeper", "kept"}, os.Environ()))
	case "kept":
		fail(privilege.Confine())
		say("self", "/proc/self/status")
		if m := privilege.Missing(); m != "" {
			fmt.Println("missing", m)
		}
		threads()
		child("child", nil)
		if g := privilege.Grant(); g != nil {
			child("granted", g)
			privilege.PassOn()
			fail(syscall.Exec("/proc/self/exe", []string{"keeper", "say", "anew"}, os.Environ()))
		}
	case "say":
		say(os.Args[2], "/proc/self/status")
	}
}

func fail(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func child(name string, grant []uintptr) {
	cmd := exec.Command("/proc/self/exe", "say", name)
	cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: grant}
	out, err := cmd.CombinedOutput()
	fmt.Print(string(out))
	fail(err)
}

// threads checks that none inherits what the others do not.
func threads() {
	files, _ := filepath.Glob("/proc/self/task/*/status")
	for _, f := range files {
		if v := field(f, "CapAmb"); v != "0000000000000000" {
			fmt.Println(f, "has ambient", v)
			return
		}
	}
	fmt.Println("threads alike")
}

func say(name, file string) {
	fmt.Println(name, os.Getuid(), field(file, "CapEff"), field(file, "CapPrm"))
}

func field(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
