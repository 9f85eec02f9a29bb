// Package nearest finds the names that somebody who mistyped one probably meant, for "did you mean …" in errors.
package nearest

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// most is how many suggestions are given: more than three is a list to search again.
const most = 3

// longest is the longest name (in bytes) that is compared: what comes from outside may be megabytes.
const longest = 256

// To returns up to three of candidates that lie near name, nearest first, then in alphabetical order. Near is: at most
// a third of the letters wrong, missing, too many or swapped with their neighbour (one wrong letter is always near), or one the
// beginning of the other from three letters on. Upper and lower case count as the same letter.
func To(name string, candidates []string) []string {
	type near struct {
		name     string
		distance int
	}
	if name == "" || len(name) > longest {
		return nil
	}
	wanted := strings.ToLower(name)
	allowed := max(1, utf8.RuneCountInString(wanted)/3)
	var found []near
	for _, candidate := range candidates {
		if candidate == "" || len(candidate) > longest {
			continue
		}
		have := strings.ToLower(candidate)
		switch d := Distance(wanted, have); {
		// A distance as long as the name itself means that no letter is shared.
		case d <= allowed && d < max(utf8.RuneCountInString(wanted), utf8.RuneCountInString(have)):
			found = append(found, near{candidate, d})
		case beginsWith(wanted, have) || beginsWith(have, wanted):
			found = append(found, near{candidate, allowed + 1})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		if a.distance != b.distance {
			return a.distance - b.distance
		}
		return strings.Compare(a.name, b.name)
	})
	found = slices.CompactFunc(found, func(a, b near) bool { return a.name == b.name })
	var names []string
	for _, n := range found[:min(len(found), most)] {
		names = append(names, n.name)
	}
	return names
}

// Hint returns `; did you mean "chat"?` (or "chat" or "chart"), ready to stand at an error's end, or nothing
// where no candidate is near.
func Hint(name string, candidates []string) string {
	names := To(name, candidates)
	if len(names) == 0 {
		return ""
	}
	for i := range names {
		names[i] = fmt.Sprintf("%q", names[i])
	}
	return "; did you mean " + strings.Join(names, " or ") + "?"
}

func beginsWith(s, prefix string) bool {
	return utf8.RuneCountInString(prefix) >= 3 && strings.HasPrefix(s, prefix)
}

// Distance is the optimal string alignment distance: how many letters to insert, delete, replace or swap with their
// neighbour to make b of a, no part edited twice. Time and memory grow with the product of the lengths' letters and letters.
func Distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	// Three rows suffice: this one, the one above, and for swaps the one above that.
	above2, above, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range row {
		above[j] = j
	}
	for i := 1; i <= len(s); i++ {
		row[0] = i
		for j := 1; j <= len(t); j++ {
			replace := above[j-1]
			if s[i-1] != t[j-1] {
				replace++
			}
			row[j] = min(above[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				row[j] = min(row[j], above2[j-2]+1)
			}
		}
		above2, above, row = above, row, above2
	}
	return above[len(t)]
}
