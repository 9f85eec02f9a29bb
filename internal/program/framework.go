package program

import (
	_ "embed" // the bootstrap's text
	"regexp"
	"strings"
)

// frameworkPackage is the Python framework, as programs import it.
const frameworkPackage = "concurrent_modular_agent"

var (
	frameworkImport = regexp.MustCompile(`(?m)^(?:import[ \t]+(` + frameworkPackage + `(?:\.\w+)*)(?:[ \t]+as[ \t]+(\w+))?|from[ \t]+` + frameworkPackage + `(?:\.\w+)*[ \t]+import[ \t]+(\([^)]*\)|[^\n]*))`)
	decorator       = regexp.MustCompile(`(?m)^@([\w.]+)[ \t]*\(\s*(?:module_name\s*=\s*)?(?:"([^"\\\n]*)"|'([^'\\\n]*)')?`)
)

// FrameworkName is the name that a module of the Python framework gives itself, "" where it is no string literal.
func FrameworkName(file string) string {
	name, _ := frameworkName(text(file))
	return name
}

// frameworkName tells whether a Python file is a module of the Python framework, and by which name: it imports the
// framework and marks a function with @module_main("name"). The name is "" where it is no string literal.
func frameworkName(source []byte) (name string, is bool) {
	code := pythonCode(source)
	marks := map[string]bool{} // what the decorator may be called here
	for _, found := range frameworkImport.FindAllSubmatch(code, -1) {
		whole, as, names := string(found[1]), string(found[2]), string(found[3])
		if whole != "" {
			if as == "" {
				as = whole
				marks[frameworkPackage+".module_main"] = true
			}
			marks[as+".module_main"] = true
			continue
		}
		for imported := range strings.SplitSeq(strings.Trim(names, "() \t"), ",") {
			switch words := strings.Fields(imported); {
			case len(words) == 1 && (words[0] == "module_main" || words[0] == "*"):
				marks["module_main"] = true
			case len(words) == 1: // a module of the package that has it
				marks[words[0]+".module_main"] = true
			case len(words) == 3 && words[0] == "module_main":
				marks[words[2]] = true
			case len(words) == 3:
				marks[words[2]+".module_main"] = true
			}
		}
	}
	for _, found := range decorator.FindAllSubmatch(code, -1) {
		if marks[string(found[1])] {
			return string(found[2]) + string(found[3]), true
		}
	}
	return "", false
}

// bootstrap starts a module of the framework as the framework's own entry point does; see its text.
//
//go:embed framework.py
var bootstrap string
