package speech

import (
	"fmt"
	"strings"
)

// parse reads phrases.txt: a line "[mood]" begins the phrases of that mood, one a line; empty lines and lines that begin
// with # are for people.
func parse(text string) (map[string][]string, error) {
	phrases := map[string][]string{}
	mood := ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			mood = strings.Trim(line, "[]")
		case mood == "":
			return nil, fmt.Errorf("line %d: a phrase before the first [mood]", i+1)
		default:
			phrases[mood] = append(phrases[mood], line)
		}
	}
	return phrases, nil
}

// choose takes one of phrases by intN (which is rand.IntN), but not last if there is another; "" if there are none.
func choose(phrases []string, last string, intN func(int) int) string {
	var fresh []string
	for _, phrase := range phrases {
		if phrase != last {
			fresh = append(fresh, phrase)
		}
	}
	if len(fresh) == 0 {
		fresh = phrases
	}
	if len(fresh) == 0 {
		return ""
	}
	return fresh[intN(len(fresh))]
}
