package mood

import (
	"strings"
	"testing"
)

func TestAfter(t *testing.T) {
	tests := []struct{ percepts, want string }{
		{"", "content"},
		{"moist bright mild", "content"},
		{"moist bright hot", "limp"},
		{"dry bright hot", "thirsty"},
		{"dry bright dark", "sleepy"},
		{"dry dark parched", "desperate"},
		{"dry dark dim", "thirsty"},
		{"parched bright watered", "glad"},
		{"parched bright watered mild", "content"},
		{"dry moist watered dim", "dreamy"},
		{"watered nonsense", "glad"},
	}
	for _, test := range tests {
		s := state{Mood: "content"}
		for _, percept := range strings.Fields(test.percepts) {
			s = s.after(percept)
		}
		if s.Mood != test.want {
			t.Errorf("after %s: %s, want %s", test.percepts, s.Mood, test.want)
		}
	}
}
