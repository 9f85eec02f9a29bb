package program

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxSources bounds how many files of one program are looked into.
const maxSources = 500

// reader follows the imports of a program through the project.
type reader struct {
	main    string
	kind    Kind
	root    string // the project
	ignored func(path string, folder bool) bool

	files   []string // that were read, main first
	folders []string // Python packages
}

func (r *reader) read(file string) {
	if slices.Contains(r.files, file) || len(r.files) >= maxSources {
		return
	}
	r.files = append(r.files, file)
	if r.kind == Binary || r.kind == "" {
		return // nothing is known of what it reads
	}
	source := text(file)
	if source == nil {
		return
	}
	switch r.kind {
	case Python:
		for _, name := range pythonImports(source) {
			r.python(file, name)
		}
	case Node:
		for _, name := range nodeImports(source) {
			r.node(filepath.Dir(file), name)
		}
	case Shell:
		for _, name := range shellImports(source) {
			// What $0 or a variable stands for is not known here: the script's folder, most often.
			if i := strings.LastIndexByte(name, '/'); strings.Contains(name, "$") {
				name = name[i+1:]
			}
			r.take(filepath.Join(filepath.Dir(r.main), filepath.FromSlash(name)))
		}
	}
}

// take reads a file if it is one of the project's.
func (r *reader) take(path string) bool {
	rel, err := filepath.Rel(r.root, path)
	if err != nil || !filepath.IsLocal(rel) || !isFile(path) || r.ignored(path, false) {
		return false
	}
	r.read(path)
	return true
}

// python reads what a dotted name means: the files of its packages on the way, and the last part's. It is looked for in the
// folder of the program, where Python looks first; one that begins with points, from the folder of the file that has it.
func (r *reader) python(file, name string) {
	path := filepath.Dir(r.main)
	absolute := strings.TrimLeft(name, ".")
	if points := len(name) - len(absolute); points > 0 {
		path = filepath.Dir(file)
		for range points - 1 {
			path = filepath.Dir(path)
		}
	}
	first, _, _ := strings.Cut(absolute, ".")
	folder, before := filepath.Join(path, first), len(r.files)
	for part := range strings.SplitSeq(absolute, ".") {
		path = filepath.Join(path, part)
		if part == "" || r.take(path+".py") {
			break
		}
		if info, err := os.Stat(path); err != nil || !info.IsDir() || r.ignored(path, true) {
			break
		}
		r.take(filepath.Join(path, "__init__.py")) // a package needs none
	}
	if len(r.files) > before && absolute == name && !isFile(folder+".py") && !slices.Contains(r.folders, folder) {
		r.folders = append(r.folders, folder)
	}
}

// node finds what a relative specifier means.
func (r *reader) node(dir, name string) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	for _, ending := range []string{"", ".js", ".mjs", ".cjs", ".ts", ".mts", ".json", "/index.js", "/index.mjs", "/index.cjs"} {
		if r.take(path + ending) {
			return
		}
	}
}

var (
	pythonImport = regexp.MustCompile(`(?m)^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b[ \t]*(\([^)]*\)|[\w, \t]*)|import[ \t]+([\w., \t]+))`)
	nodeImport   = regexp.MustCompile(`\b(?:from|import|require|Worker|URL)\s*\(?\s*(?:"(\.[^"\n]*)"|'(\.[^'\n]*)')`)
	shellImport  = regexp.MustCompile(`(?m)^[ \t]*(?:\.|source)[ \t]+(?:"([^"\n]+)"|'([^'\n]+)'|([^\s;&|#]+))`)
)

// pythonImports are the dotted names that source imports; of "from a import b" both a and a.b, which may be a module too.
func pythonImports(source []byte) (names []string) {
	for _, found := range pythonImport.FindAllSubmatch(pythonCode(source), -1) {
		from, list := string(found[1]), string(found[2])+string(found[3])
		if from != "" && strings.Trim(from, ".") != "" {
			names = append(names, from)
		}
		if from != "" && !strings.HasSuffix(from, ".") {
			from += "."
		}
		for name := range strings.SplitSeq(strings.Trim(list, "()"), ",") {
			if words := strings.Fields(name); len(words) > 0 { // without "as x"
				names = append(names, from+words[0])
			}
		}
	}
	return names
}

// nodeImports are the relative specifiers that source names.
func nodeImports(source []byte) (names []string) {
	for _, found := range nodeImport.FindAllSubmatch(source, -1) {
		names = append(names, string(found[1])+string(found[2]))
	}
	return names
}

// shellImports are the files that source reads.
func shellImports(source []byte) (names []string) {
	for _, found := range shellImport.FindAllSubmatch(source, -1) {
		names = append(names, string(found[1])+string(found[2])+string(found[3]))
	}
	return names
}

// guard is how a Python file says that it is a program besides being imported.
var guard = regexp.MustCompile(`(?m)^if[ \t]+__name__[ \t]*==`)

// Guarded tells whether a file that others import says that it is a program of its own, too.
func Guarded(file string, kind Kind) bool { return kind == Python && guard.Match(text(file)) }

// pythonCode is source with its comments, and with strings of more than one line, as spaces: what is left at the
// beginning of a line is a statement. Line breaks stay.
func pythonCode(source []byte) []byte {
	code := slices.Clone(source)
	blank := func(from, to int) {
		for i := from; i < to; i++ {
			if code[i] != '\n' {
				code[i] = ' '
			}
		}
	}
	for i := 0; i < len(source); {
		c := source[i]
		switch {
		case c == '#':
			end := i
			for end < len(source) && source[end] != '\n' {
				end++
			}
			blank(i, end)
			i = end
		case c == '"' || c == '\'':
			long := i+2 < len(source) && source[i+1] == c && source[i+2] == c
			end := endOfString(source, i, long)
			if long {
				blank(i, end)
			}
			i = end
		default:
			i++
		}
	}
	return code
}

// endOfString is where the string ends whose quotes begin at start. One quote ends at the line's end at the latest.
func endOfString(source []byte, start int, long bool) int {
	quote := source[start]
	i := start + 1
	if long {
		i = start + 3
	}
	for i < len(source) {
		switch {
		case source[i] == '\\':
			i++
		case !long && (source[i] == quote || source[i] == '\n'):
			return i + 1
		case long && source[i] == quote && i+2 < len(source) && source[i+1] == quote && source[i+2] == quote:
			return i + 3
		}
		i++
	}
	return len(source)
}
