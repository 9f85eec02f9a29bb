// Package readings is what the plant's sensors and its perception agree on: topics, units, and how a number is written.
// It has no Run, so it is no module: it belongs to those that import it, and an edit here reloads just them.
package readings

import (
	"fmt"
	"strconv"
	"strings"
)

// The topics that sensors publish on.
const (
	Soil        = "plant/soil"        // water in the soil, percent
	Light       = "plant/light"       // lux
	Temperature = "plant/temperature" // degrees Celsius
)

// Format writes a reading as sensors do.
func Format(value float64) string { return strconv.FormatFloat(value, 'f', 1, 64) }

// Parse reads what arrived on topic. What no such sensor can have measured is an error.
func Parse(topic, text string) (float64, error) {
	value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %q is no number", topic, text)
	}
	least, most := 0.0, 100.0
	switch topic {
	case Light:
		most = 150000 // full sun is about 100,000
	case Temperature:
		least, most = -60, 80
	}
	if !(value >= least && value <= most) { // not a number is neither
		return 0, fmt.Errorf("read %s: %v is not between %v and %v", topic, value, least, most)
	}
	return value, nil
}
