package readings

import "testing"

func TestParse(t *testing.T) {
	tests := []struct {
		topic, text string
		want        float64
		ok          bool
	}{
		{Soil, "12", 12, true},
		{Soil, " 12.5\n", 12.5, true},
		{Soil, "120", 0, false},
		{Soil, "NaN", 0, false},
		{Soil, "wet", 0, false},
		{Soil, "", 0, false},
		{Temperature, "-5", -5, true},
		{Temperature, "-500", 0, false},
		{Light, "30000", 30000, true},
		{Light, "Inf", 0, false},
	}
	for _, test := range tests {
		got, err := Parse(test.topic, test.text)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%s %q: %v, %v; want %v, ok %v", test.topic, test.text, got, err, test.want, test.ok)
		}
	}
}
