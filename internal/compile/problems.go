package compile

import (
	"cmp"
	"errors"
	"go/parser"
	"go/token"
	"maps"
	"os"
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
	if strings.Contains(string(failed.output), "updates to go.mod needed") {
		if missing := b.unrequired(packages); len(missing) > 0 {
			return &modproc.LoadError{Problems: missing}
		}
	}
	problems := b.readProblems(b.truePlaces(string(failed.output)), packages)
	if len(problems) == 0 {
		return err
	}
	return &modproc.LoadError{Problems: problems}
}

// unrequired finds imports of modules that go.mod does not name, though something that it names does: of these the go
// command says only that go.mod must be updated.
func (b *build) unrequired(packages []*modulePackage) (problems []modproc.Problem) {
	goMod, err := os.ReadFile(b.requirements.modFile)
	if err != nil {
		return nil // it was there a moment ago; what the go command said stands
	}
	required := []string{b.requirements.path, comaPath}
	for _, found := range requirement.FindAllSubmatch(goMod, -1) {
		required = append(required, string(found[1]))
	}
	for _, p := range packages {
		fset := token.NewFileSet()
		names := slices.Concat(p.spec.GoFiles, slices.Collect(maps.Keys(p.spec.Text)))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			text, err := p.text(name)
			if err != nil {
				continue // go build has seen it; it has gone since
			}
			file, err := parser.ParseFile(fset, name, text, parser.ImportsOnly)
			if err != nil {
				continue // go build would have said so first
			}
			for _, spec := range file.Imports {
				importPath, err := strconv.Unquote(spec.Path.Value)
				known := func(module string) bool { return importPath == module || strings.HasPrefix(importPath, module+"/") }
				first, _, _ := strings.Cut(importPath, "/")
				if err != nil || !strings.Contains(first, ".") || slices.ContainsFunc(required, known) {
					continue
				}
				at := fset.PositionFor(spec.Path.Pos(), false)
				problems = append(problems, modproc.Problem{
					File: b.shown(name), Line: at.Line, Column: at.Column, SourceLine: p.sourceLine(name, at.Line),
					Message: notRequired(importPath),
				})
			}
		}
	}
	return problems
}

// notFound is what the go command says of a package that no required module has, because coma has told it to leave go.mod
// as it is.
var notFound = regexp.MustCompile(`cannot find module providing package (\S+): import lookup disabled by -mod=readonly`)

func notRequired(importPath string) string {
	return "no required module provides package " + importPath + "; to add it: go get " + importPath
}

// requirement matches a line of a require directive or block.
var requirement = regexp.MustCompile(`(?m)^(?:require)?\s+([^\s()]+) v[^\s]+`)

// bothPlaces is what the compiler adds to a place that a line directive gives: where the line really is.
var bothPlaces = regexp.MustCompile(`\[[^\]\n]*\.go:\d+(:\d+)?\]`)

// hereDot is the ./ that the go command writes before names in the folder that it was told to be in.
var hereDot = regexp.MustCompile(`(?m)(^\s*)\./`)

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
	output = strings.NewReplacer(names...).Replace(output)
	return hereDot.ReplaceAllString(bothPlaces.ReplaceAllString(output, ""), "$1")
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
		if missing := notFound.FindStringSubmatch(message); missing != nil {
			message = notRequired(missing[1])
		}
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
