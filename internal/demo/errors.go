package demo

import (
	"errors"
	"fmt"
	"io"
)

// failure is an error with a hint for the person in front of it.
type failure struct {
	text, hint string
	refused    bool // nothing was changed
}

func (f *failure) Error() string { return f.text }

// Hint says what to do about it.
func (f *failure) Hint() string { return f.hint }

func fail(text, hint string) error { return &failure{text: text, hint: hint} }

func refuse(text, hint string) error { return &failure{text, hint, true} }

// codeOf gives the exit code.
func codeOf(err error) int {
	var f *failure
	if errors.As(err, &f) && f.refused {
		return exitRefused
	}
	return exitFailed
}

// printError writes the error as every pgherd command does.
func printError(w io.Writer, err error) {
	fmt.Fprintf(w, "error: %s\n", err)
	var f interface{ Hint() string }
	if errors.As(err, &f) && f.Hint() != "" {
		fmt.Fprintf(w, "hint: %s\n", f.Hint())
	}
}
