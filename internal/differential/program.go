package differential

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
)

// Program is one program of the corpus: a package with func Main() string, and the packages below it.
type Program struct {
	Kind  string            // what it is about: the folder that holds it
	Name  string            // unique, and a Go import path element
	Files map[string]string // slash-separated path below the program's own folder → text
	Want  string            // what compiled Go says
	Valid bool              // false: the compiler refuses it, and so must the interpreter
}

// root is the import path above all programs: it is also the name of the module in which they are compiled, so that a
// program's types have the same package paths both ways.
const root = "case"

// Path is the import path of the program's package. Those below it are Path + "/" + their folder.
func (p Program) Path() string { return root + "/" + p.Name }

// wantFile is the txtar file that holds what compiled Go says. Programs that do not compile have none.
const wantFile = "want"

// Parse reads a program from the text of its txtar archive.
func Parse(kind, name string, text []byte) (Program, error) {
	p := Program{Kind: kind, Name: name, Files: map[string]string{}}
	for _, file := range txtar.Parse(text).Files {
		if file.Name == wantFile {
			// A txtar file ends with a line end; what a program says does not have to.
			p.Want, p.Valid = strings.TrimSuffix(string(file.Data), "\n"), true
			continue
		}
		if _, twice := p.Files[file.Name]; twice {
			return Program{}, fmt.Errorf("read program %s: file %s is there twice", name, file.Name)
		}
		p.Files[file.Name] = string(file.Data)
	}
	if len(p.Files) == 0 {
		return Program{}, fmt.Errorf("read program %s: it has no files", name)
	}
	return p, nil
}

// format is the inverse of Parse; comment is what stands above the files.
func (p Program) format(comment []byte) []byte {
	archive := txtar.Archive{Comment: comment}
	for _, name := range p.fileNames() {
		archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(p.Files[name])})
	}
	if p.Valid {
		archive.Files = append(archive.Files, txtar.File{Name: wantFile, Data: []byte(p.Want + "\n")})
	}
	return txtar.Format(&archive)
}

func (p Program) fileNames() []string {
	names := make([]string, 0, len(p.Files))
	for name := range p.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ReadCorpus reads all programs below dir, sorted by kind and name.
func ReadCorpus(dir string) ([]Program, error) {
	var programs []Program
	seen := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".txtar" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(entry.Name(), ".txtar")
		if before, ok := seen[name]; ok {
			return fmt.Errorf("%s and %s have the same name", before, path)
		}
		seen[name] = path
		p, err := Parse(filepath.Base(filepath.Dir(path)), name, text)
		programs = append(programs, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read corpus: %w", err)
	}
	if len(programs) == 0 {
		return nil, fmt.Errorf("read corpus: no .txtar below %s", dir)
	}
	return programs, nil
}

// invalid is the kind of the programs that are meant not to compile. (A few of kind "cases" do not, either.)
const invalid = "invalid"

// Update asks compiled Go what each program of the corpus in dir says, writes that into its file, and returns the names
// of those that changed. A program that does not compile though it should, or the other way round, is an error; all
// others are updated all the same.
func Update(dir string) (changed []string, err error) {
	programs, err := ReadCorpus(dir)
	if err != nil {
		return nil, err
	}
	build, err := Compile(programs)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, build.Close()) }()
	var wrong []error
	for _, p := range programs {
		now := p
		now.Want, now.Valid = "", false
		if compiles := build.Compiles(p.Name); compiles == (p.Kind == invalid) && p.Kind != "cases" {
			wrong = append(wrong, fmt.Errorf("update %s/%s: compiles is %t\n%s", p.Kind, p.Name, compiles, build.Complaint(p.Name)))
			continue
		} else if compiles {
			outcome := build.Run(p.Name)
			if outcome.Verdict != Said {
				wrong = append(wrong, fmt.Errorf("update %s/%s: compiled Go %s: %s", p.Kind, p.Name, outcome.Verdict, outcome.Text))
				continue
			}
			now.Want, now.Valid = outcome.Text, true
		}
		path := filepath.Join(dir, p.Kind, p.Name+".txtar")
		before, err := os.ReadFile(path)
		if err != nil {
			return changed, fmt.Errorf("update %s: %w", p.Name, err)
		}
		after := now.format(txtar.Parse(before).Comment)
		if string(after) == string(before) {
			continue
		}
		if err := os.WriteFile(path, after, 0o644); err != nil {
			return changed, fmt.Errorf("update %s: %w", p.Name, err)
		}
		changed = append(changed, p.Kind+"/"+p.Name)
	}
	return changed, errors.Join(wrong...)
}
