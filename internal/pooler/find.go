package pooler

import "errors"

// Refusals of Find.
var (
	ErrMissing = errors.New("PgBouncer is not installed")
	ErrTooOld  = errors.New("PgBouncer is too old")
)

// Find gives the program at bin or, when that is empty, the best that is found in the usual places.
func Find(bin string) (path string, v Version, err error) { return "", Version{}, ErrMissing }
