package postgres

import "testing"

// BenchmarkFacts measures the query that runs every second; wall time on one
// session bounds the server's CPU from above.
func BenchmarkFacts(b *testing.B) {
	n := newPrimary(b, newCA(b), "n1", false)
	ctx := testContext(b)
	for b.Loop() {
		if _, err := n.db.Facts(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadControl(b *testing.B) {
	n := newPrimary(b, newCA(b), "n1", false)
	for b.Loop() {
		if _, err := ReadControl(n.in.DataDir); err != nil {
			b.Fatal(err)
		}
	}
}
