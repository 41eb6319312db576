package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgherd/pgherd/bench/proc"
	"github.com/pgherd/pgherd/bench/report"
	"github.com/pgherd/pgherd/internal/demo"
)

const settle = 10 * time.Second

// idle measures agent and warden of each member while nobody does anything.
func idle(ctx context.Context, b *bench, out *result) error {
	rss := report.NewFigure("idle, agent and warden of a member: memory (RSS)", "MB", report.AtMost(60).Worst())
	cpu := report.NewFigure("idle, agent and warden of a member: CPU, % of a core", "%", report.AtMost(1).Worst())
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
		b.say("  %s: agent %.1f MB, warden %.1f MB", name, proc.RSS(agent), proc.RSS(warden))
		rss.Add(mb)
		cpu.Add(100 * (seconds - before[name]) / time.Since(began).Seconds())
	}
	out.Add(rss, cpu)
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
		cpuSeconds += proc.CPU(pid).Seconds()
		rssMB += proc.RSS(pid)
	}
	return cpuSeconds, rssMB
}

// binary measures the file, and that it needs no library of the system.
func binary(_ context.Context, b *bench, out *result) error {
	size := report.NewFigure("binary, stripped", "MB", report.AtMost(45).Worst())
	dynamic := report.NewFigure("binary: dynamic libraries it needs", "", report.AtMost(0).Worst())
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
	size.Add(float64(info.Size()) / (1 << 20))
	dynamic.Add(float64(len(libraries)))
	out.Add(size, dynamic)
	return nil
}

// coreSize counts the lines of internal/core, comments and blank lines included; its
// tests are the Go files and the scenario scripts.
func coreSize(_ context.Context, _ *bench, out *result) error {
	code := report.NewFigure("internal/core without tests", "lines", report.AtMost(1500).Worst())
	tests := report.NewFigure("internal/core: lines of tests per line", "x", report.AtLeast(3).Worst())
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
	code.Add(float64(lines))
	tests.Add(float64(testLines) / float64(max(lines, 1)))
	out.Add(code, tests)
	return nil
}
