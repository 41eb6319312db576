package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/pgherd/pgherd/internal/sim"
)

// verdict is what the simulator made of one mutant.
type verdict struct {
	mutant
	seed, broken string
	took         time.Duration
	err          error
}

// score builds each mutant with the compiler's overlay, so that the tree is not touched, and
// runs seeds from 1 on until one breaks an invariant.
func score(ctx context.Context, only string, seeds uint64) error {
	dir, err := os.MkdirTemp("", "pgherd-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	verdicts, next := make([]verdict, len(mutants)), make(chan int)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for i := range next {
				verdicts[i] = mutants[i].try(ctx, filepath.Join(dir, mutants[i].name), seeds)
				fmt.Fprintf(os.Stderr, "%-24s %s %s\n", mutants[i].name, verdicts[i].seed, verdicts[i].broken)
			}
		})
	}
	for i := range mutants {
		if only == "all" || only == mutants[i].name {
			next <- i
		}
	}
	close(next)
	workers.Wait()
	return table(verdicts, seeds)
}

func table(verdicts []verdict, seeds uint64) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "mutant\tfirst seed\tfound as\twhat it does")
	found, all := 0, 0
	var failed error
	for _, v := range verdicts {
		if v.name == "" {
			continue
		}
		if all++; v.seed != "" {
			found++
		} else if v.err == nil {
			v.seed, v.broken = "-", fmt.Sprintf("SURVIVED %d seeds", seeds)
		}
		if v.err != nil {
			v.broken = "error"
			failed = errors.Join(failed, fmt.Errorf("%s: %w", v.name, v.err))
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", v.name, v.seed, v.broken, v.why)
	}
	_ = out.Flush()
	fmt.Printf("%d of %d mutants found\n", found, all)
	if failed == nil && found < all {
		failed = fmt.Errorf("%d mutants survived: the simulator lacks a fault", all-found)
	}
	return failed
}

var brokenLine = regexp.MustCompile(`(?m)^seed (\d+) at [0-9.]+ s: (I\d+)`)

func (m mutant) try(ctx context.Context, dir string, seeds uint64) verdict {
	v, began := verdict{mutant: m}, time.Now()
	exe, err := m.build(ctx, dir)
	if err != nil {
		v.err = err
		return v
	}
	defer os.RemoveAll(dir)
	args := []string{"-first", "-workers", "1", "-n"}
	if with := rare[m.name]; with != "" {
		args = append(args, fmt.Sprint(rarer*seeds), "-with", with)
	} else {
		args = append(args, fmt.Sprint(seeds))
	}
	out, err := exec.CommandContext(ctx, exe, args...).CombinedOutput()
	if found := brokenLine.FindSubmatch(out); found != nil {
		v.seed, v.broken = string(found[1]), string(found[2])
		v.err = correctPasses(v.seed)
	} else if err != nil {
		// A panic of the core is found too: Decide is total (I10).
		v.seed, v.broken = "?", "I10 (panic)"
		if !strings.Contains(string(out), "panic: ") {
			v.seed, v.broken, v.err = "", "", fmt.Errorf("%w\n%s", err, out)
		}
	}
	v.took = time.Since(began)
	return v
}

// correctPasses: what breaks without the mutant says nothing of the mutant.
func correctPasses(text string) error {
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return err
	}
	if r := sim.Run(seed, sim.Pinned{}); len(r.Broken) > 0 {
		return fmt.Errorf("seed %d breaks the correct core too: %s", seed, r.Broken[0])
	}
	return nil
}

// build compiles the simulator with the mutant's edits.
func (m mutant) build(ctx context.Context, dir string) (exe string, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	replace, content := map[string]string{}, map[string]string{}
	for _, e := range m.edits {
		text, ok := content[e.file]
		if !ok {
			data, err := os.ReadFile(e.file)
			if err != nil {
				return "", fmt.Errorf("%w (run from the repository's root)", err)
			}
			text = string(data)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("%s: the text to replace is there %d times: %q", e.file, n, e.old)
		}
		content[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	for file, text := range content {
		full, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		replace[full] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(replace[full], []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	overlay, _ := json.Marshal(map[string]any{"Replace": replace})
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o644); err != nil {
		return "", err
	}
	exe = filepath.Join(dir, "sim")
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", path, "-o", exe, "./cmd/sim").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return exe, nil
}
