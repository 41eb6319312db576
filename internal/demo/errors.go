package demo

import (
	"errors"
	"fmt"
	"io"
)

// failure is an error with a hint for the person in front of it.
type failure struct{ text, hint string }

func (f *failure) Error() string { return f.text }

// Hint says what to do about it.
func (f *failure) Hint() string { return f.hint }

func fail(text, hint string) error { return &failure{text, hint} }

// printError writes the error as every pgherd command does.
func printError(w io.Writer, err error) {
	fmt.Fprintf(w, "error: %s\n", err)
	var f interface{ Hint() string }
	if errors.As(err, &f) && f.Hint() != "" {
		fmt.Fprintf(w, "hint: %s\n", f.Hint())
	}
}
