package perception

import (
	"testing"

	"github.com/concurrent-modular-agent/coma/examples/plant/readings"
)

func TestWord(t *testing.T) {
	tests := []struct {
		topic  string
		value  float64
		before string
		want   string
	}{
		{readings.Soil, 40, "", "moist"},
		{readings.Soil, 30, "", "moist"},
		{readings.Soil, 29.5, "", "dry"},
		{readings.Soil, 29.5, "moist", "moist"}, // within the margin: not news yet
		{readings.Soil, 28.5, "moist", "dry"},
		{readings.Soil, 30.5, "dry", "dry"},
		{readings.Soil, 31.5, "dry", "moist"},
		{readings.Soil, 3, "moist", "parched"},
		{readings.Soil, 100, "dry", "wet"},
		{readings.Light, 0, "dim", "dark"},
		{readings.Temperature, 33, "mild", "hot"},
		{readings.Temperature, -10, "mild", "cold"},
	}
	for _, test := range tests {
		if got := word(test.topic, test.value, test.before); got != test.want {
			t.Errorf("%s at %v after %q: %s, want %s", test.topic, test.value, test.before, got, test.want)
		}
	}
}

func TestEveryWordHasASentence(t *testing.T) {
	for topic, all := range levels {
		for _, l := range all {
			if sentences[l.word] == "" {
				t.Errorf("%s: %s has no sentence", topic, l.word)
			}
		}
	}
}
