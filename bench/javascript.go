package main

import (
	"fmt"
	"os/exec"
)

// javascript measures modules in JavaScript, through coma.js, beside modules in Python and Go.
func (b *bench) javascript() error {
	if _, err := exec.LookPath("node"); err != nil {
		b.row("modules in JavaScript", "not measured", "node is not installed")
		return nil
	}
	ways := []struct {
		name, roundtrip, flood string
		env                    []string
	}{
		{"modules in JavaScript", "javascript-roundtrip", "javascript-flood", nil},
		{"modules in Python, threads", "python-roundtrip", "python-flood", []string{"FACE=threads"}},
		{"modules in Go", "roundtrip", "flood", nil},
	}
	var trips []measured
	rates := map[string][]measured{}
	for _, way := range ways {
		if _, err := exec.LookPath("python3"); err != nil && way.env != nil {
			continue
		}
		trip := measured{name: way.name}
		l, err := b.resultLine(way.roundtrip, way.env)
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		if trip.p50, err = l.number("p50_us"); err != nil {
			return err
		}
		if trip.p99, err = l.number("p99_us"); err != nil {
			return err
		}
		trips = append(trips, trip)
		for _, senders := range []string{"1", "16"} {
			l, err := b.resultLine(way.flood, append([]string{"SENDERS=" + senders, "MESSAGES=30000"}, way.env...))
			if err != nil {
				return fmt.Errorf("%s, senders: %s: %w", way.name, senders, err)
			}
			rate := measured{name: way.name + ", senders: " + senders}
			if rate.rate, err = l.number("per_second"); err != nil {
				return err
			}
			rates[senders] = append(rates[senders], rate)
		}
	}
	for _, m := range trips {
		b.row("round trip p50 (p99): "+m.name, fmt.Sprintf("%.0f µs (%.0f)", m.p50, m.p99), factor("takes, beside JavaScript's, ", m.p50, trips[0].p50))
	}
	for _, senders := range []string{"1", "16"} {
		for _, m := range rates[senders] {
			b.row("messages/s: "+m.name, fmt.Sprintf("%.0f", m.rate), factor("of JavaScript's: ", m.rate, rates[senders][0].rate))
		}
	}
	return nil
}
