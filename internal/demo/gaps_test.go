package demo

import (
	"testing"
	"time"
)

func TestLongestGap(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	cases := []struct {
		name     string
		acked    []int
		from, to int
		want     [2]int
	}{
		{"in the window", []int{0, 10, 500, 510, 1010}, 5, 900, [2]int{510, 1010}},
		{"out of order", []int{510, 0, 500, 10, 600}, 5, 550, [2]int{10, 500}},
		{"began before", []int{0, 300, 310, 320}, 100, 315, [2]int{0, 300}},
		{"ends after", []int{0, 10, 20, 700}, 15, 30, [2]int{20, 700}},
		{"a longer one before does not count", []int{0, 900, 910, 920, 1000}, 905, 930, [2]int{920, 1000}},
		{"a longer one after does not count", []int{0, 10, 30, 40, 900}, 5, 35, [2]int{10, 30}},
		{"nothing came back", []int{0, 10}, 5, 800, [2]int{10, 800}},
		{"nothing at all", nil, 100, 800, [2]int{100, 800}},
	}
	for _, c := range cases {
		var l timeline
		for _, ms := range c.acked {
			l.ack(at(ms))
		}
		got := l.longestGap(at(c.from), at(c.to))
		if !got.From.Equal(at(c.want[0])) || !got.To.Equal(at(c.want[1])) {
			t.Errorf("%s: %v to %v, want %v", c.name, got.From.Sub(start), got.To.Sub(start), c.want)
		}
	}
}

func TestFailuresOfAWindow(t *testing.T) {
	start := time.Now()
	var l timeline
	for ms := range 10 {
		l.fail(Failure{At: start.Add(time.Duration(ms) * time.Millisecond)})
	}
	if got := len(l.failures(start.Add(2*time.Millisecond), start.Add(5*time.Millisecond))); got != 4 {
		t.Errorf("%d failures in [2 ms, 5 ms], want 4", got)
	}
}
