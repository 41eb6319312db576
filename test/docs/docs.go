package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// Pages are the files that tell people what to type: README.md and docs/*.md. Decisions are records of what was thought, and no instructions.
func Pages() ([]string, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	if len(pages) < 5 {
		return nil, fmt.Errorf("only %d pages in %s/docs", len(pages), root)
	}
	return append(pages, filepath.Join(root, "README.md")), nil
}

// Tests is the text of all tests but those of the pages, which name what they look for.
func Tests() (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	var all strings.Builder
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && (e.Name() == "node_modules" || e.Name() == ".git") {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") || strings.HasPrefix(filepath.Base(path), "docs_") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	return all.String(), err
}

func repository() (string, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return "", fmt.Errorf("no source file to begin at")
	}
	root := filepath.Join(filepath.Dir(here), "..", "..")
	if _, err := os.Stat(filepath.Join(root, "README.md")); err != nil { // -trimpath
		root = filepath.Join("..", "..")
	}
	return root, nil
}

var (
	codeSpan  = regexp.MustCompile("`pgherd ([^`]*)`")
	codeLine  = regexp.MustCompile(`(?m)^(?: {4,}|\s*\$ )?pgherd (.*)$`)
	codeFence = regexp.MustCompile("(?ms)^```.*?^```")
	otherLine = regexp.MustCompile(`(?m)^\s*(?:\$ )?((?:.*[ ;&|])?(?:curl|psql) -.*)$`)
	// What stands for something else, or is no part of the command.
	tail = regexp.MustCompile(`(\s(#|&&|\||>>?|<)\s.*|\.\.\.|…)$`)
	// What pgherd prints about a command, not what somebody types.
	output = regexp.MustCompile(`^\w+:|\S {3,}\S`)
)

// Commands finds them in a page's code, without the program's name.
func Commands(page string) (found []string) {
	for _, m := range append(codeSpan.FindAllStringSubmatch(Prose(page), -1), codeLine.FindAllStringSubmatch(blocks(page, "pgherd "), -1)...) {
		command := Bare(m[1])
		if output.MatchString(command) {
			continue
		}
		if command != "" && !strings.HasPrefix(command, "COMMAND") && !strings.HasPrefix(command, "-") {
			found = append(found, command)
		}
	}
	return found
}

// Bare is a command without what comes after it on its line: a comment, a pipe, a file, another command.
func Bare(command string) string {
	for tail.MatchString(command) {
		command = strings.TrimSpace(tail.ReplaceAllString(command, ""))
	}
	return command
}

// Lines finds the whole lines of a page's code in which curl or psql is called.
func Lines(page string) (found []string) {
	for _, m := range otherLine.FindAllStringSubmatch(blocks(page, ""), -1) {
		found = append(found, strings.TrimSpace(m[1]))
	}
	return found
}

// Prose is a page without its fenced blocks.
func Prose(page string) string { return codeFence.ReplaceAllString(page, "") }

// blocks are a page's fenced blocks, and the indented lines that begin with what is said.
func blocks(page, begin string) string {
	all := codeFence.FindAllString(page, -1)
	for line := range strings.Lines(Prose(page)) {
		if strings.HasPrefix(line, "    "+begin) {
			all = append(all, strings.TrimRight(line, "\n"))
		}
	}
	return strings.Join(all, "\n")
}
