package rebuild

import (
	"slices"
	"testing"
)

// TestLasting: a token that was spent after the copy was made must not be good again in the store that is made of it.
func TestLasting(t *testing.T) {
	for key, kept := range map[string]bool{
		"spec": true, "members/n1": true, "poolerhosts/app1": true, "poolerremovals/app2": true,
		"operation": false, "requests/n1": false, "tokens/a": false, "poolertokens/a": false,
	} {
		if Lasting(key) != kept {
			t.Errorf("%s is kept: %v", key, !kept)
		}
	}
}

// TestPoolingHostsAreShown: those of the newest copy go on, which an administrator has to know before he confirms.
func TestPoolingHostsAreShown(t *testing.T) {
	w := three(t)
	newest := w.saved(3, 200, leased(1, "n2", "n3"))
	for _, key := range []string{"poolerhosts/b", "poolerhosts/a", "poolerremovals/c"} {
		newest.Entries[key] = Raw("{}")
	}
	w.change("n2", func(a *Answer) { a.Saved = newest })
	v := Judge(w.q, w.answers)
	if !slices.Equal(v.Poolers, []string{"a", "b"}) {
		t.Errorf("%v", v.Poolers)
	}
	w.q.Confirm = "main"
	first, err := Judge(w.q, w.answers).Records("somebody", "now")
	if err != nil || first["poolerhosts/a"] == nil || first["poolerremovals/c"] == nil {
		t.Errorf("%v, %v", first, err)
	}
}
