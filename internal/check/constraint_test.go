package check

import (
	"runtime"
	"testing"
)

func TestIncluded(t *testing.T) {
	other := "windows"
	if runtime.GOOS == other {
		other = "linux"
	}
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"chat.go", "package chat", true},
		{"garden/chat.go", "package chat", true},
		{"chat_test.go", "package chat", false},
		{"_chat.go", "package chat", false},
		{".chat.go", "package chat", false},
		{"chat.py", "package chat", false},
		{"chat_" + runtime.GOOS + ".go", "package chat", true},
		{"chat_" + other + ".go", "package chat", false},
		{"chat_" + other + "_" + runtime.GOARCH + ".go", "package chat", false},
		{"chat_" + runtime.GOOS + "_" + runtime.GOARCH + ".go", "package chat", true},
		{"windows.go", "package chat", true},
		{"chat.go", "//go:build ignore\n\npackage chat", false},
		{"chat.go", "// A comment.\n\n//go:build !ignore\n\npackage chat", true},
		{"chat.go", "//go:build " + runtime.GOOS + " && " + runtime.GOARCH + "\n\npackage chat", true},
		{"chat.go", "//go:build " + other + " || mine\n\npackage chat", false},
		{"chat.go", "//go:build go1.18\n\npackage chat", true},
		{"chat.go", "//go:build " + GoVersion() + "\n\npackage chat", true},
		{"chat.go", "//go:build go1.999\n\npackage chat", false},
		{"chat.go", "//go:build gc\n\npackage chat", true},
		{"chat.go", "// +build ignore\n\npackage chat", false},
		{"chat.go", "package chat\n\n//go:build ignore\n", true},
		{"chat.go", "package chat\n\nimport \"C\"\n", true},
	} {
		got, err := Included(c.name, []byte(c.text))
		if err != nil || got != c.want {
			t.Errorf("Included(%s, %q) = %v, %v, want %v", c.name, c.text, got, err, c.want)
		}
	}
}

func TestIncludedSaysWhatIsWrong(t *testing.T) {
	if _, err := Included("chat.go", []byte("//go:build a &&\n\npackage chat")); err == nil {
		t.Error("a //go:build line that cannot be read is no error")
	}
}

func FuzzIncluded(f *testing.F) {
	f.Add("chat_linux.go", []byte("//go:build linux && !arm64\n\npackage chat"))
	f.Add("x.go", []byte("/* */ // +build a,b c\n\npackage x; import `fmt`"))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		if included, err := Included(name, text); included && err != nil {
			t.Errorf("Included(%q, %q) is true, and %v", name, text, err)
		}
	})
}
