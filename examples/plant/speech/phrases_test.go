package speech

import (
	"os"
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	got, err := parse("# words\n[glad]\n Oh! \nMore.\r\n\n[sad]\n…\n[glad]\nAgain.")
	want := map[string][]string{"glad": {"Oh!", "More.", "Again."}, "sad": {"…"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("phrases are %q, error %v; want %q", got, err, want)
	}
	if _, err := parse("Oh!\n[glad]"); err == nil || err.Error() != "line 1: a phrase before the first [mood]" {
		t.Errorf("error is %v", err)
	}
}

// TestEveryMoodHasWords reads the real file: the moods are those of module mood.
func TestEveryMoodHasWords(t *testing.T) {
	text, err := os.ReadFile("phrases.txt")
	if err != nil {
		t.Fatal(err)
	}
	phrases, err := parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, mood := range []string{"content", "thirsty", "desperate", "glad", "limp", "dreamy", "sleepy", "answer"} {
		if len(phrases[mood]) == 0 {
			t.Errorf("there are no words for %s", mood)
		}
	}
}

func TestChoose(t *testing.T) {
	first := func(int) int { return 0 }
	for _, test := range []struct {
		phrases    []string
		last, want string
	}{
		{[]string{"a", "b"}, "", "a"},
		{[]string{"a", "b"}, "a", "b"},
		{[]string{"a"}, "a", "a"},
		{nil, "a", ""},
	} {
		if got := choose(test.phrases, test.last, first); got != test.want {
			t.Errorf("%q after %q: %q, want %q", test.phrases, test.last, got, test.want)
		}
	}
}
