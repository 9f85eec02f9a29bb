package access

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of topics and patterns that come from outside. A broker keeps a tree of them, with a node a level.
const (
	MaxTopicBytes  = 4096
	MaxTopicLevels = 64
)

var errPattern = errors.New("not an MQTT pattern (+ stands for one level, # for all below, at the end)")

// CheckPattern checks a pattern that is to be subscribed to, or that says in the users' file what may be. A shared
// subscription's is none: it is a group's way to subscribe.
func CheckPattern(pattern string) error {
	_, shared := cutFold(pattern, "$share")
	bad := shared || pattern == "" || strings.ContainsRune(pattern, 0) || !utf8.ValidString(pattern)
	levels := strings.Split(pattern, "/")
	for i, level := range levels {
		bad = bad || strings.Contains(level, "+") && level != "+" ||
			strings.Contains(level, "#") && (level != "#" || i < len(levels)-1)
	}
	if bad || Oversized(pattern) {
		return fmt.Errorf("pattern %.80q: %w", pattern, errPattern)
	}
	return nil
}

// Oversized reports whether a topic or pattern is longer or deeper than any that makes sense.
func Oversized(topic string) bool {
	return len(topic) > MaxTopicBytes || strings.Count(topic, "/") >= MaxTopicLevels
}

// Covers reports whether all topics that match pattern match allowed, too. Both are MQTT patterns (3.1.1, section 4.7); a
// topic is a pattern that matches itself. Wildcards at the front do not match topics that begin with $.
func Covers(allowed, pattern string) bool {
	if allowed == "+/#" {
		allowed = "#" // the same: every topic has a first level
	}
	if strings.HasPrefix(pattern, "$") && !strings.HasPrefix(allowed, "$") {
		return false
	}
	for {
		a, allowedRest, allowedMore := strings.Cut(allowed, "/")
		if a == "#" {
			return true
		}
		p, patternRest, patternMore := strings.Cut(pattern, "/")
		if p == "#" || p != a && a != "+" {
			return false
		}
		if !patternMore {
			return !allowedMore || allowedRest == "#" // a/# matches a
		}
		if !allowedMore {
			return false
		}
		allowed, pattern = allowedRest, patternRest
	}
}

// unshared is the pattern of a shared subscription ("$share/group/pattern"), or pattern itself.
func unshared(pattern string) string {
	group, ok := cutFold(pattern, "$share/")
	if !ok {
		return pattern
	}
	_, rest, _ := strings.Cut(group, "/")
	return rest
}

// cutFold is strings.CutPrefix without regard to case: the broker looks at "$share" so.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
