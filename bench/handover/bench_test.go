package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/bench/report"
)

func TestCertificateOfTheEndpoint(t *testing.T) {
	const answer = `{"id": "x", "phase": "done", "certificate": {"stop_ms": 30, "promote_ms": 20.5, "whole": true, "poolers": [
		{"name": "n1", "operation": "x", "state": "over", "clients": 16, "held_ms": 100, "drain_ms": 8},
		{"name": "n2", "operation": "x", "state": "over", "clients": 0, "held_ms": 400, "drain_ms": 1}]}}`
	p, err := certified([]byte(answer), "n1")
	if err != nil || p.Drain != 8*time.Millisecond || p.Held != 100*time.Millisecond || p.rest() != 41500*time.Microsecond {
		t.Errorf("%+v, rest %v, %v", p, p.rest(), err)
	}
	for _, bad := range []string{"", "{}", answer} {
		if _, err := certified([]byte(bad), "n3"); err == nil {
			t.Errorf("%.20q is no error", bad)
		}
	}
}

// TestSummary: a client's gap may begin before the window, and counts when it never ends; others' errors
// outside of it do not.
func TestSummary(t *testing.T) {
	zero := time.Unix(1000, 0)
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	seen := []sight{
		{at(900), 1, sawDone, ""}, {at(950), 2, sawDone, ""}, {at(500), 2, sawFailed, "before"},
		{at(1100), 1, sawLostOpen, "gone"}, {at(1600), 1, sawDone, ""}, {at(1300), 2, sawDone, ""},
		{at(1400), 2, sawLostIdle, "hung up"}, {at(1350), 2, sawFailed, "25006"}, {at(1900), 1, sawDone, ""}, {at(1910), 3, sawLostNew, "failing"},
	}
	s := summarise(seen, at(1000), at(2000))
	if s.gap != 700*time.Millisecond || s.gapOfAll != 350*time.Millisecond || s.lostOpen != 1 || s.lostIdle != 1 || s.lostNew != 1 || s.failed != 1 {
		t.Errorf("%+v", s)
	}
	if s := summarise(seen[:2], at(1000), at(2000)); s.gap != 1100*time.Millisecond {
		t.Errorf("a client that never went on: %+v", s)
	}
}

func TestHungUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := &session{socket: conn.(*net.TCPConn)}
	if _, err := other.Write([]byte("a notice")); err != nil || s.hungUp() {
		t.Errorf("hung up although it is there, or %v", err)
	}
	other.Close()
	for end := time.Now().Add(10 * time.Second); !s.hungUp(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not seen to hang up")
		}
	}
}

func TestResultComparesTheSides(t *testing.T) {
	herd := &block{stalls: report.Series{100, 130, 160}, parts: []phases{{Drain: 5 * time.Millisecond, Held: 90 * time.Millisecond}}}
	hand := &block{stalls: report.Series{90, 100, 110}, parts: []phases{{Drain: 4 * time.Millisecond, Held: 70 * time.Millisecond}}}
	var r result
	r.addMode("simple", herd, hand)
	if !r.Met() {
		t.Error("1.3 times the floor, 130 ms in the middle, 160 at worst: not met")
	}
	herd.stalls[1], herd.failed, herd.undone = 131, 1, 2
	r = result{}
	r.addMode("simple", herd, hand)
	var out bytes.Buffer
	r.print(&out)
	if strings.Count(out.String(), "MISSED") != 3 || !strings.Contains(out.String(), "held") {
		t.Error(out.String())
	}
}

func TestOptions(t *testing.T) {
	good := options{n: 1, kills: 1, cpuRounds: 1, spacing: 5 * time.Second, cpuLength: time.Second, think: time.Millisecond}
	good.load.Clients, good.load.PerSecond = 16, 200
	if err := good.check(); err != nil {
		t.Error(err)
	}
	if !good.wants("cpu") {
		t.Error("without -only all is wanted")
	}
	good.only = "cpu,unplaned"
	if err := good.check(); err == nil || !good.wants("cpu") || good.wants("handover") {
		t.Errorf("%q: %v", good.only, err)
	}
}
