package compile

import (
	"cmp"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// located is a line of go build's output with a place: file:line:column: message, the column missing at times.
var located = regexp.MustCompile(`^(?:vet: )?(\S.*?\.(?:go|mod|s)):(\d+)(?::(\d+))?: (.+)$`)

// explain turns what go build said into a *modproc.LoadError with the places in the modules' source. Errors that are of
// another kind come back as they are.
func (b *build) explain(err error, packages []*modulePackage) error {
	var failed *commandError
	if !errors.As(err, &failed) {
		return err
	}
	problems := b.readProblems(b.truePlaces(string(failed.output)), packages)
	if len(problems) == 0 {
		return err
	}
	return &modproc.LoadError{Problems: problems}
}

// bothPlaces is what the compiler adds to a place that a line directive gives: where the line really is.
var bothPlaces = regexp.MustCompile(`\[[^\]\n]*\.go:\d+(:\d+)?\]`)

// truePlaces puts the names of the project's files in the place of those that the overlay reads instead.
func (b *build) truePlaces(output string) string {
	var names []string
	for name, written := range b.overlay {
		shown := b.shown(name)
		names = append(names, written+":", shown+":")
		if rel, err := filepath.Rel(b.projectDir, written); err == nil {
			names = append(names, rel+":", shown+":")
		}
	}
	return bothPlaces.ReplaceAllString(strings.NewReplacer(names...).Replace(output), "")
}

// readProblems reads go build's output. It is nil if no place in it is the project's.
func (b *build) readProblems(output string, packages []*modulePackage) []modproc.Problem {
	var problems []modproc.Problem
	known := map[modproc.Problem]bool{}
	own := false
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		at := located.FindStringSubmatch(line)
		if at == nil {
			if continued := strings.HasPrefix(line, "\t"); continued && len(problems) > 0 {
				last := &problems[len(problems)-1]
				last.Message += " " + strings.TrimSpace(line)
			}
			continue
		}
		file, message := at[1], at[4]
		number, _ := strconv.Atoi(at[2]) // digits; far too many of them are no line
		column, _ := strconv.Atoi(at[3]) // or nothing
		p := modproc.Problem{Line: number, Column: column, Message: message}
		switch {
		case b.generated(file):
			p = b.wrongRun(message, packages)
		default:
			p.File = b.shown(file)
			p.SourceLine = sourceLine(b, packages, file, number)
		}
		own = own || b.inProject(file) || b.generated(file) || strings.HasSuffix(file, goModName)
		if !known[p] {
			known[p] = true
			problems = append(problems, p)
		}
	}
	if !own {
		return nil
	}
	slices.SortStableFunc(problems, func(x, y modproc.Problem) int {
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	return problems
}

// generated reports whether the compiler speaks of a file that this package has made.
func (b *build) generated(file string) bool {
	if !filepath.IsAbs(file) {
		file = filepath.Join(b.projectDir, file)
	}
	return filepath.Dir(file) == b.dir || strings.HasSuffix(file, "zz_generated_by_coma.go")
}

// ofRun finds the number of the module whose Run the generated code stumbles over.
var ofRun = regexp.MustCompile(`\bmodule(\d*)\.Run\b`)

// wrongRun is the problem of a module whose Run is not of the type that the generated main needs: nothing else is wrong
// in generated code, except that an import which cannot be resolved is the module's own.
func (b *build) wrongRun(message string, packages []*modulePackage) modproc.Problem {
	p := packages[0]
	if found := ofRun.FindStringSubmatch(message); found != nil && found[1] != "" {
		if i, err := strconv.Atoi(found[1]); err == nil && i < len(packages) {
			p = packages[i]
		}
	}
	if !strings.Contains(message, "Run") {
		return modproc.Problem{File: b.shown(p.spec.Dir), Message: message}
	}
	at := p.run
	return modproc.Problem{
		File: b.shown(at.Filename), Line: at.Line, Column: at.Column, SourceLine: p.sourceLine(at.Filename, at.Line),
		Message: "Run has another signature than it needs: want " + wantRun,
	}
}

func sourceLine(b *build, packages []*modulePackage, file string, line int) string {
	if !filepath.IsAbs(file) {
		file = filepath.Join(b.projectDir, file)
	}
	for _, p := range packages {
		if text := p.sourceLine(file, line); text != "" {
			return text
		}
	}
	return ""
}
