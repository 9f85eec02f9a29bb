package compile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// requirements are what a build requires of other Go modules.
type requirements struct {
	root    string // the folder of the project's go.mod; the project's own where there is none
	path    string // its import path
	modFile string // go.mod of the build, with go.sum beside it; "": the project's own serves as it is
	missing bool   // the project has no go.mod
	local   bool   // some of it lies in folders, which may change at any time
	text    []byte // all that decides them
}

// goModName is the name under which the go command wants a project's requirements.
const goModName = "go.mod"

// require finds out what the project requires, adds coma and what that requires in turn, and leaves the outcome in the
// cache. Only the first build after a change of go.mod takes time, or the network.
func (b *build) require(ctx context.Context, frame string) (requirements, error) {
	r, goMod, goSum, err := findGoMod(b.projectDir)
	if err != nil {
		return r, err
	}
	from := comaOrigin()
	if r.path = moduleLine(goMod); r.missing {
		r.path = b.inventedPath()
	}
	if r.path == comaPath { // the project is a part of coma's own source, as the examples are
		r.local = true
		r.text = goMod
		return r, nil
	}
	r.local = requiresFolder(goMod, from)
	if r.missing {
		goMod = fmt.Appendf(nil, "module %s\n\ngo 1.%d.0\n", r.path, minorVersion)
	}
	known := [][]byte{[]byte(frame), goMod, goSum, []byte(from.dir), []byte(from.version), []byte(b.tool.version), []byte(r.root)}
	edit := []string{"mod", "edit", "-dropreplace=" + comaPath}
	switch {
	case from.dir != "":
		sum, err := os.ReadFile(filepath.Join(from.dir, "go.sum"))
		if err != nil {
			return r, fmt.Errorf("read the sums of coma's own requirements: %w", err)
		}
		mod, err := os.ReadFile(filepath.Join(from.dir, goModName))
		if err != nil {
			return r, fmt.Errorf("read coma's own requirements: %w", err)
		}
		known = append(known, mod, sum)
		goSum = append(append(goSum, '\n'), sum...)
		edit = append(edit, "-require="+comaPath+"@v0.0.0", "-replace="+comaPath+"="+from.dir)
	case from.version != "":
		edit = append(edit, "-require="+comaPath+"@"+from.version)
	case !bytes.Contains(goMod, []byte(comaPath)):
		return r, errors.New("this coma was built from source that is not on this machine any more: say in the project's go.mod where coma is (require, and replace for a folder), or install a released coma")
	default:
		edit = nil
	}
	r.text = bytes.Join(known, []byte{0})
	dir := filepath.Join(b.cache, "require-"+digest(known...))
	r.modFile = filepath.Join(dir, goModName)
	if _, err := os.Stat(r.modFile); err == nil {
		return r, touch(dir)
	}
	return r, b.resolve(ctx, &r, dir, frame, goMod, goSum, edit)
}

// resolve lets the go command complete go.mod and go.sum for the generated main's imports alone: what the module itself
// imports and go.mod lacks is the author's to add, and is told as a problem of the module. The folder appears whole or
// not at all.
func (b *build) resolve(ctx context.Context, r *requirements, dir, frame string, goMod, goSum []byte, edit []string) error {
	work, err := os.MkdirTemp(b.cache, "new-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(work) // gone by then, if all went well
	modFile := filepath.Join(work, goModName)
	probe := filepath.Join(work, "probe.go")
	overlay := filepath.Join(work, "overlay.json")
	// The probe is a package of the project, because go.mod has to serve such packages; it is not on disk.
	replaced := map[string]string{filepath.Join(r.root, virtualFolder, "probe", "probe.go"): probe}
	if r.missing {
		replaced[filepath.Join(r.root, goModName)] = modFile
	}
	for name, text := range map[string][]byte{
		modFile:                       goMod,
		filepath.Join(work, "go.sum"): goSum,
		probe:                         []byte("package probe\n\nimport _ \"" + comaPath + "/" + frame + "\"\n"),
		overlay:                       overlayJSON(replaced),
	} {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return fmt.Errorf("write build files: %w", err)
		}
	}
	env := buildFlags{}.environment()
	if edit != nil {
		if _, err := b.tool.run(ctx, env, append(edit, modFile)...); err != nil {
			return b.wrongGoMod(err, modFile, r)
		}
	}
	args := []string{"list", "-C", b.projectDir, "-overlay", overlay, "-modfile", modFile, "-mod=mod", "-deps", r.path + "/" + virtualFolder + "/probe"}
	if _, err := b.tool.run(ctx, env, args...); err != nil {
		return b.wrongGoMod(err, modFile, r)
	}
	if err := os.Rename(work, dir); err != nil && !errors.Is(err, fs.ErrExist) { // another process was faster
		return fmt.Errorf("keep the requirements: %w", err)
	}
	return nil
}

// wrongGoMod is the error for requirements that the go command refuses: what is wrong with the project's go.mod, if that
// is it.
func (b *build) wrongGoMod(err error, modFile string, r *requirements) error {
	var failed *commandError
	if !errors.As(err, &failed) {
		return err
	}
	text := strings.ReplaceAll(string(failed.output), modFile, filepath.Join(r.root, goModName))
	if problems := b.readProblems(text, nil); len(problems) > 0 && !r.missing {
		return &modproc.LoadError{Problems: problems}
	}
	return fmt.Errorf("prepare the requirements (the first build may need the network): %w", err)
}

// findGoMod reads the nearest go.mod at or above a folder, and its go.sum.
func findGoMod(projectDir string) (r requirements, goMod, goSum []byte, err error) {
	for dir := projectDir; ; dir = filepath.Dir(dir) {
		goMod, err = os.ReadFile(filepath.Join(dir, goModName))
		if err == nil {
			goSum, err = os.ReadFile(filepath.Join(dir, "go.sum"))
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			if err != nil {
				err = fmt.Errorf("read go.sum: %w", err)
			}
			return requirements{root: dir}, goMod, goSum, err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return r, nil, nil, fmt.Errorf("read go.mod: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return requirements{root: projectDir, missing: true}, nil, nil, nil
		}
	}
}

// localReplacement matches a line of a replace directive whose new place is a folder.
var localReplacement = regexp.MustCompile(`=>\s*"?(\.|/|[A-Za-z]:\\)`)

// requiresFolder reports whether go.mod puts folders in the place of modules. Where coma itself is known, what go.mod says
// of it does not count.
func requiresFolder(goMod []byte, coma origin) bool {
	for line := range bytes.Lines(goMod) {
		if localReplacement.Match(line) && (coma == origin{} || !bytes.Contains(line, []byte(comaPath+" "))) {
			return true
		}
	}
	return false
}

var moduleDirective = regexp.MustCompile(`(?m)^\s*module\s+"?([^\s"]+)`)

func moduleLine(goMod []byte) string {
	if found := moduleDirective.FindSubmatch(goMod); found != nil {
		return string(found[1])
	}
	return ""
}

// inventedPath is the module path of a project without go.mod: the folder's name, by which its packages are imported, or
// where that cannot be a part of an import path another, since nothing can import it then.
func (b *build) inventedPath() string {
	if importable(b.modulePath) {
		return b.modulePath
	}
	return "coma.project"
}

var pathElement = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9_.~+-]*$`)

// importable reports whether the go command accepts an import path with these elements.
func importable(importPath string) bool {
	for element := range strings.SplitSeq(importPath, "/") {
		if !pathElement.MatchString(element) || strings.HasSuffix(element, ".") {
			return false
		}
	}
	return true
}
