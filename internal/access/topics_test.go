package access

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCovers(t *testing.T) {
	tests := []struct {
		allowed, pattern string
		want             bool
	}{
		{"#", "a", true}, {"#", "#", true}, {"#", "+/b", true}, {"#", "$SYS/a", false}, {"$SYS/#", "$SYS/a", true},
		{"+/#", "#", true}, {"a/#", "#", false}, {"a/#", "a", true}, {"a/#", "a/#", true}, {"a/#", "a/+/c", true},
		{"a/+", "a/#", false}, {"a/+", "a/+", true}, {"a/+", "a/b", true}, {"a/+", "a", false}, {"a/+", "a/b/c", false},
		{"a/b", "a/+", false}, {"a/b", "a/b", true}, {"a/b", "a/b/", false}, {"a/b/+", "a/b/", true}, {"a//b", "a//b", true},
		{"+", "$SYS", false}, {"+/a", "+/a", true}, {"+/+", "a/#", false}, {"a/+/#", "a/#", false}, {"a/+/#", "a/b", true},
		{"", "a", false}, {"a", "", false},
	}
	for _, test := range tests {
		if got := Covers(test.allowed, test.pattern); got != test.want {
			t.Errorf("Covers(%q, %q) = %t", test.allowed, test.pattern, got)
		}
	}
}

// matches is MQTT's own definition (3.1.1, section 4.7), level by level.
func matches(pattern, topic []string) bool {
	switch {
	case len(pattern) == 0:
		return len(topic) == 0
	case pattern[0] == "#":
		return true
	case len(topic) == 0:
		return false
	case pattern[0] == "+" || pattern[0] == topic[0]:
		return matches(pattern[1:], topic[1:])
	}
	return false
}

// What is covered is covered for every topic, and what is not has a topic that shows it.
func TestCoversIsWhatTheTopicsSay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"a", "b", ""}
	var topics [][]string
	var grow func(topic []string)
	grow = func(topic []string) {
		if len(topic) > 0 {
			topics = append(topics, topic)
		}
		if len(topic) == 5 {
			return
		}
		for _, w := range append(words, "other") { // a word that no pattern names
			grow(append(topic[:len(topic):len(topic)], w))
		}
	}
	grow(nil)
	pattern := func() []string {
		var p []string
		for range 1 + random.IntN(4) {
			p = append(p, append(words, "+", "+")[random.IntN(len(words)+2)])
		}
		if random.IntN(3) == 0 {
			p[len(p)-1] = "#"
		}
		return p
	}
	covered := 0
	for range 3000 {
		allowed, asked := pattern(), pattern()
		want := true
		for _, topic := range topics {
			if matches(asked, topic) && !matches(allowed, topic) {
				want = false
				break
			}
		}
		if want {
			covered++
		}
		a, p := strings.Join(allowed, "/"), strings.Join(asked, "/")
		if a == "" || p == "" {
			continue // no patterns
		}
		if got := Covers(a, p); got != want {
			t.Fatalf("Covers(%q, %q) = %t, the topics say %t", a, p, got, want)
		}
	}
	if covered < 100 {
		t.Fatalf("only %d of the pairs were covered: the test shows little", covered)
	}
}

func FuzzCheckPattern(f *testing.F) {
	for _, seed := range []string{"#", "+", "a/+/b", "a/#/b", "a+", "$share/g/a", "\x00", "\xff", "//", strings.Repeat("a/", 70)} {
		f.Add(seed, "a/b")
	}
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		if CheckPattern(pattern) != nil {
			return
		}
		if !Covers(pattern, pattern) {
			t.Errorf("%q does not cover itself", pattern)
		}
		if CheckPattern(topic) == nil && !strings.ContainsAny(topic, "+#$") && pattern[0] != '$' &&
			Covers(pattern, topic) != matches(strings.Split(pattern, "/"), strings.Split(topic, "/")) {
			t.Errorf("Covers(%q, %q) is not what the topic says", pattern, topic)
		}
	})
}
