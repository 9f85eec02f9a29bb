package nearest

import (
	"slices"
	"strings"
	"testing"
)

func TestTo(t *testing.T) {
	modules := []string{"chat", "chart", "memory_organizer", "user_input", "soil", "Übung"}
	for _, c := range []struct {
		name string
		want []string
	}{
		{"chta", []string{"chat"}},
		{"Chat", []string{"chat", "chart"}},
		{"charts", []string{"chart", "chat"}},
		{"memory", []string{"memory_organizer"}},
		{"memory_organiser", []string{"memory_organizer"}},
		{"übnug", []string{"Übung"}},
		{"userinput", []string{"user_input"}},
		{"zebra", nil},
		{"x", nil},
		{"", nil},
		{strings.Repeat("chat", 1000), nil},
	} {
		if got := To(c.name, modules); !slices.Equal(got, c.want) {
			t.Errorf("To(%.20q) = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestToGivesAtMostThree(t *testing.T) {
	if got, want := To("m", []string{"m5", "m4", "m3", "m2", "m2"}), []string{"m2", "m3", "m4"}; !slices.Equal(got, want) {
		t.Errorf("To = %q, want %q", got, want)
	}
}

func TestHint(t *testing.T) {
	if got, want := Hint("chta", []string{"chat", "soil"}), `; did you mean "chat"?`; got != want {
		t.Errorf("Hint = %s, want %s", got, want)
	}
	if got, want := Hint("chat1", []string{"chat2", "chat3"}), `; did you mean "chat2" or "chat3"?`; got != want {
		t.Errorf("Hint = %s, want %s", got, want)
	}
	if got := Hint("zebra", []string{"chat"}); got != "" {
		t.Errorf("Hint = %s, want none", got)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0},
		{"abc", "abd", 1}, {"abc", "acb", 1}, {"ca", "abc", 3}, {"kitten", "sitting", 3}, {"über", "uber", 1},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func FuzzTo(f *testing.F) {
	f.Add("chta", "chat", "chart")
	f.Add("\xff", "\xff\xfe", "")
	f.Fuzz(func(t *testing.T, name, a, b string) {
		if d, back := Distance(name, a), Distance(a, name); len(name) <= longest && len(a) <= longest && d != back {
			t.Errorf("Distance(%q, %q) is %d one way and %d the other", name, a, d, back)
		}
		for _, got := range To(name, []string{a, b}) {
			if got != a && got != b {
				t.Errorf("To(%q) = %q, which is no candidate", name, got)
			}
		}
	})
}
