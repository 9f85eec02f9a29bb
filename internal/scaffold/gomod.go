package scaffold

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// coma is the module path that projects require.
const coma = "github.com/concurrent-modular-agent/coma"

// goVersion is the language version of new projects where coma's own go.mod does not say it.
const goVersion = "1.26.0"

// dependencies returns go.mod and go.sum for a project. Three cases:
//
//   - coma's source is on this machine (coma was built from a checkout): it is put in the place of the module, and the
//     checkout's own requirements and sums are taken over, so that nothing needs the network.
//   - coma has a version: it is required, and "go mod tidy" fetches the rest.
//   - neither: whoever wants an editor's or the compiler's help has to say where coma is. "coma run" needs nothing.
func dependencies(name string, opt Options) (goMod, goSum, needs string, err error) {
	head := fmt.Sprintf("module %s\n\ngo %s\n", modulePath(name), goVersion)
	switch {
	case opt.Source != "":
		own, err := os.ReadFile(filepath.Join(opt.Source, "go.mod"))
		if err != nil {
			return "", "", "", fmt.Errorf("read coma's own requirements: %w", err)
		}
		sums, err := os.ReadFile(filepath.Join(opt.Source, "go.sum"))
		if err != nil {
			return "", "", "", fmt.Errorf("read coma's own sums: %w", err)
		}
		goMod := head + "\nrequire " + coma + " v0.0.0\n" +
			"\n// This coma was built from source on this machine.\nreplace " + coma + " => " + quotedPath(opt.Source) + "\n"
		if requires := indirect(string(own)); requires != "" {
			goMod += "\nrequire (\n" + requires + ")\n"
		}
		return goMod, string(sums), "", nil
	case released.MatchString(opt.Version):
		return head + "\nrequire " + coma + " " + opt.Version + "\n", "", "go mod tidy", nil
	}
	return head, "", "go get " + coma + "@latest", nil
}

// released matches versions that can be fetched: tags and pseudo-versions, but not those of a changed checkout (+dirty).
var released = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// requirement matches a line of a require block.
var requirement = regexp.MustCompile(`(?m)^\t(\S+ v\S+)(?: // indirect)?$`)

// indirect returns the requirements of a go.mod as lines that mark them as indirect.
func indirect(goMod string) string {
	var lines strings.Builder
	for _, match := range requirement.FindAllStringSubmatch(goMod, -1) {
		fmt.Fprintf(&lines, "\t%s // indirect\n", match[1])
	}
	return lines.String()
}

func quotedPath(path string) string {
	if strings.ContainsAny(path, " \t\"'`(),") || strings.Contains(path, "//") {
		return strconv.Quote(path)
	}
	return path
}

// modulePath is a module path for a project of any name. Nobody fetches it, so example.com, which is nobody's, serves.
func modulePath(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_':
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
	}
	path := strings.Trim(b.String(), "-")
	if path == "" {
		path = "agent"
	}
	return "example.com/" + path
}

// Source returns the root of coma's source that this file of it (an absolute path, as runtime.Caller tells it) lies in, if it is
// a checkout on this machine, else "". The module cache is none: what is there has a version.
func Source(file string) string {
	if !filepath.IsAbs(file) || strings.Contains(file, "@") {
		return ""
	}
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module "+coma+"\n") {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}
