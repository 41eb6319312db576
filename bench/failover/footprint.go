package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/demo"
)

const (
	settle         = 10 * time.Second
	ticksPerSecond = 100 // USER_HZ: what /proc counts in, on every Linux that Go runs on
)

// idle measures agent and warden of each member while nobody does anything.
func idle(ctx context.Context, b *bench, out *report) error {
	rss := newFigure("idle, agent and warden of a member: memory (RSS)", "MB", atMost(60).worst())
	cpu := newFigure("idle, agent and warden of a member: CPU, % of a core", "%", atMost(1).worst())
	if _, err := b.c.WaitHealthy(ctx, func(demo.Status) {}); err != nil {
		return err
	}
	if err := wait(ctx, settle); err != nil {
		return err
	}
	before := map[string]float64{}
	began := time.Now()
	for _, name := range b.c.Names() {
		before[name], _ = usage(b.c, name)
	}
	if err := wait(ctx, b.o.idle); err != nil {
		return err
	}
	for _, name := range b.c.Names() {
		seconds, mb := usage(b.c, name)
		agent, warden := b.c.PIDs(name)
		b.say("  %s: agent %.1f MB, warden %.1f MB", name, rssOf("/proc/"+strconv.Itoa(agent)), rssOf("/proc/"+strconv.Itoa(warden)))
		rss.add(mb)
		cpu.add(100 * (seconds - before[name]) / time.Since(began).Seconds())
	}
	out.add(rss, cpu)
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// usage sums up CPU seconds and resident megabytes of a member's agent and warden.
func usage(c *demo.Cluster, name string) (cpuSeconds, rssMB float64) {
	agent, warden := c.PIDs(name)
	for _, pid := range []int{agent, warden} {
		proc := "/proc/" + strconv.Itoa(pid)
		cpuSeconds += cpuOf(proc)
		rssMB += rssOf(proc)
	}
	return cpuSeconds, rssMB
}

// cpuOf reads user and system time: fields 14 and 15, counted behind the name.
func cpuOf(proc string) float64 {
	data, _ := os.ReadFile(proc + "/stat")
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond
}

func rssOf(proc string) float64 {
	data, _ := os.ReadFile(proc + "/status")
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// binary measures the file, and that it needs no library of the system.
func binary(_ context.Context, b *bench, out *report) error {
	size := newFigure("binary, stripped", "MB", atMost(45).worst())
	dynamic := newFigure("binary: dynamic libraries it needs", "", atMost(0).worst())
	info, err := os.Stat(b.exe)
	if err != nil {
		return err
	}
	f, err := elf.Open(b.exe)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Section(".symtab") != nil {
		return errors.New(b.exe + " is not stripped: measure what `make build` makes")
	}
	libraries, err := f.ImportedLibraries()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return err
	}
	size.add(float64(info.Size()) / (1 << 20))
	dynamic.add(float64(len(libraries)))
	out.add(size, dynamic)
	return nil
}

// coreSize counts the lines of internal/core, comments and blank lines included; its
// tests are the Go files and the scenario scripts.
func coreSize(_ context.Context, _ *bench, out *report) error {
	code := newFigure("internal/core without tests", "lines", atMost(1500).worst())
	tests := newFigure("internal/core: lines of tests per line", "x", atLeast(3).worst())
	files, err := filepath.Glob("internal/core/*.go")
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("internal/core is not below the current directory")
	}
	if err != nil {
		return err
	}
	scripts, err := filepath.Glob("internal/core/testdata/*.txtar")
	if err != nil {
		return err
	}
	var lines, testLines int
	files = append(files, scripts...)
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := bytes.Count(data, []byte("\n")); strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".txtar") {
			testLines += n
		} else {
			lines += n
		}
	}
	code.add(float64(lines))
	tests.add(float64(testLines) / float64(max(lines, 1)))
	out.add(code, tests)
	return nil
}
