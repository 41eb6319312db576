package proc

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"
)

const ticksPerSecond = 100 // USER_HZ: what /proc counts in, on every Linux that Go runs on

// CPU is a process' user and system time: fields 14 and 15, counted behind the name.
func CPU(pid int) time.Duration {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	return ticks(fields[11:13])
}

// RSS is a process' resident memory in MB.
func RSS(pid int) (mb float64) {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// Machine is what all cores together have done since the start.
type Machine struct{ Idle, All time.Duration }

// Now reads it. Waiting for a disk is idle: the core is free for others.
func Now() Machine {
	data, _ := os.ReadFile("/proc/stat")
	return parseMachine(string(data))
}

// IdleSince is the percentage of the time since an earlier reading in which the cores had nothing to do.
func (m Machine) IdleSince(before Machine) float64 {
	if m.All <= before.All {
		return 0
	}
	return 100 * float64(m.Idle-before.Idle) / float64(m.All-before.All)
}

// parseMachine reads the line of all cores: user, nice, system, idle, iowait, irq, softirq, steal; guests are in
// user and nice already.
func parseMachine(stat string) (m Machine) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return m
	}
	return Machine{Idle: ticks(fields[4:6]), All: ticks(fields[1:9])}
}

func ticks(fields []string) (sum time.Duration) {
	for _, f := range fields {
		n, _ := strconv.ParseInt(f, 10, 64)
		sum += time.Duration(n) * (time.Second / ticksPerSecond)
	}
	return sum
}
