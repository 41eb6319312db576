package core

import "time"

// Instant is a moment in nanoseconds on one machine's CLOCK_BOOTTIME, which keeps
// counting while the machine is suspended: a resumed machine must not believe its
// old lease. Instants of different machines cannot be compared. Zero means never.
type Instant int64

// Add gives the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub gives the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// ms is a duration as records have it.
func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
