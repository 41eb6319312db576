package act

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pgherd/pgherd/internal/postgres"
)

// A clone that has been copied does not seem to begin again while it reaches the disk.
func TestCloneTellsHowFarItIs(t *testing.T) {
	var told []string
	tell := tellClone("n1", func(percent int, text string) { told = append(told, fmt.Sprintf("%d %% %s", percent, text)) })
	for _, p := range []postgres.Progress{
		{Text: turnText},
		{Text: "pg_basebackup: checkpoint completed"},
		{DoneBytes: 10 << 20, TotalBytes: 40 << 20},
		{DoneBytes: 40 << 20, TotalBytes: 40 << 20},
		{Text: "pg_basebackup: syncing data to disk ..."},
	} {
		tell(p)
	}
	want := []string{"0 % " + turnText, "0 % cloning from n1", "25 % cloning from n1: 10 of 40 MB", "99 % cloning from n1: 40 of 40 MB"}
	if !slices.Equal(told, want) {
		t.Errorf("it told %q", told)
	}
}
