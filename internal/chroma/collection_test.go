package chroma

import (
	"strings"
	"testing"
)

func TestNamesOfCollections(t *testing.T) {
	for name, want := range map[string]bool{
		"abc": true, "a.b_c-9": true, strings.Repeat("a", 512): true,
		"": false, "ab": false, strings.Repeat("a", 513): false, "-ab": false, "ab-": false, "a b": false, "abc\n": false, "aéc": false, "a..b": false, "1.2.3.4": false,
	} {
		if err := checkName("name", name); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}
