package main

import (
	"slices"
	"time"
)

// summary is what clients saw in a window.
type summary struct {
	gap      time.Duration // the longest that one client had nothing done, its thinking included
	gapOfAll time.Duration // the longest that none had
	lostOpen int
	lostIdle int
	lostNew  int
	failed   int
	texts    []string
}

func (g *sessions) between(from, to time.Time) summary {
	g.mu.Lock()
	seen := slices.Clone(g.seen)
	g.mu.Unlock()
	return summarise(seen, from, to)
}

// summarise counts what lies in the window, and measures the gaps that overlap it. A client who had nothing
// done until its end has waited until then.
func summarise(seen []sight, from, to time.Time) (s summary) {
	slices.SortFunc(seen, func(a, b sight) int { return a.at.Compare(b.at) })
	done := map[int][]time.Time{}
	var all []time.Time
	for _, x := range seen {
		if x.what == sawDone {
			done[x.client] = append(done[x.client], x.at)
			all = append(all, x.at)
			continue
		}
		if x.at.Before(from) || x.at.After(to) {
			continue
		}
		s.texts = append(s.texts, x.text)
		switch x.what {
		case sawLostOpen:
			s.lostOpen++
		case sawLostIdle:
			s.lostIdle++
		case sawLostNew:
			s.lostNew++
		case sawFailed:
			s.failed++
		}
	}
	for _, list := range done {
		s.gap = max(s.gap, longestGap(list, from, to))
	}
	s.gapOfAll = longestGap(all, from, to)
	return s
}

// longestGap is between neighbours in a sorted list, of which one at least lies in the window.
func longestGap(list []time.Time, from, to time.Time) (longest time.Duration) {
	last := from
	for _, at := range list {
		if at.Before(from) {
			last = at
			continue
		}
		if at.After(to) {
			break
		}
		longest = max(longest, at.Sub(last))
		last = at
	}
	return max(longest, to.Sub(last))
}

// sample is one of the errors, for people.
func (s summary) sample() string {
	if len(s.texts) == 0 {
		return ""
	}
	return ": " + s.texts[0]
}
