// Package compile builds programs of modules with the user's Go toolchain: one module, for "engine: go", or a whole
// agent, for "coma build".
//
// Read it in this order:
//
//   - compile.go: Module, from a module's source to its executable
//   - workspace.go: the folder that a build takes place in: the generated main, and the overlay that makes the compiler
//     see what the editor last saved as this generation, not what has become of the files since
//   - requirements.go: go.mod and go.sum of a build, without a change of the project's own
//   - origin.go: where coma's own source comes from
//   - toolchain.go: the go command
//   - problems.go: what the compiler says, as problems with their places
//   - cache.go: executables that are kept
//   - agent.go, pack.go: Agent, from a project to one binary
//
// Nothing is ever written into the project. All that is made lies in coma's folder of the user's cache
// ($XDG_CACHE_HOME/coma/build) and may be removed at any time; compiled packages are in Go's own build cache.
package compile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// Spec is the module to build: its source as package modproc describes it.
type Spec = modproc.Source

// Module builds a module and returns the executable that is its process (see package compiled), an absolute path. The
// same source yields the same executable, at once if it is still there. It is kept for as long as it is among the
// module's three newest; whoever starts a generation again asks Module again, with the same Text.
//
// If the source does not compile, the error is a *modproc.LoadError. Any other error says why nothing could be built: no
// toolchain, a requirement that cannot be downloaded.
func Module(ctx context.Context, spec Spec) (executable string, err error) {
	failed := func(err error) (string, error) {
		if loadError := (*modproc.LoadError)(nil); errors.As(err, &loadError) {
			return "", loadError
		}
		return "", fmt.Errorf("compile module %s: %w", spec.Name, err)
	}
	b, err := newBuild(ctx, spec.ProjectDir, spec.ModulePath, "compiled")
	if err != nil {
		return failed(err)
	}
	p, err := b.newPackage(spec, 0)
	if err != nil {
		return failed(err)
	}
	entry, err := b.entry(spec, p)
	if err != nil {
		return failed(err)
	}
	if err := b.module(ctx, p, entry); err != nil {
		return failed(err)
	}
	return entry.executable(), entry.use()
}

// ErrShared is the error of a module that is to be compiled and to share the host's process.
var ErrShared = errors.New("engine go needs isolation: process (a compiled module is a program of its own)")

// Instead decides, for "engine: auto", what becomes of a module that the interpreter has refused: nil, it is to be compiled;
// or the error that its author is to see. shared says that it is to share the host's process.
func Instead(refused *modproc.LoadError, shared bool) error {
	if mistakes := refused.Mistakes(); mistakes != nil {
		return mistakes // mended, the rest is for the compiler to see to
	}
	but := func(why string) error {
		return &modproc.LoadError{Problems: append(slices.Clip(refused.Problems), modproc.Problem{Message: why})}
	}
	if shared {
		return but("isolation: process would let the Go compiler run it")
	}
	if _, missing := Available(); missing != nil {
		return but("to have it compiled instead: " + missing.Error())
	}
	return nil
}

// module builds the executable of a module, unless it is there.
func (b *build) module(ctx context.Context, p *modulePackage, e entry) (err error) {
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	unlock, err := lock(e.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if e.sealed && e.exists() {
		return nil
	}
	b.dir = e.dir
	target, err := b.moduleMain(p)
	if err != nil {
		return err
	}
	output := e.executable()
	if e.sealed { // nobody looks again whether it is whole
		output += ".new"
	}
	if err := b.build(ctx, target, output, buildFlags{strip: true}); err != nil {
		return b.explain(err, []*modulePackage{p})
	}
	if e.sealed {
		if err := os.Rename(output, e.executable()); err != nil {
			return fmt.Errorf("keep the executable: %w", err)
		}
	}
	return nil
}

// build is one run of the compiler, and what it needs.
type build struct {
	tool         toolchain
	cache        string // coma's folder for builds
	projectDir   string
	modulePath   string
	requirements requirements
	dir          string            // where this build's generated files lie
	overlay      map[string]string // file as the compiler sees it: file to read instead, "" for none
	texts        int               // files written for the overlay
}

// newBuild prepares a build whose generated main imports a package of coma by its name.
func newBuild(ctx context.Context, projectDir, modulePath, frame string) (*build, error) {
	tool, err := findToolchain(ctx)
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	b := &build{tool: tool, cache: cache, projectDir: projectDir, modulePath: modulePath, overlay: map[string]string{}}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	b.requirements, err = b.require(ctx, frame)
	return b, err
}

// buildFlags are what differs between builds.
type buildFlags struct {
	strip        bool   // leave out what only debuggers need
	static       bool   // no C, whatever the environment says
	goos, goarch string // "": this machine's
}

// build runs go build for a target: an import path, or the path of a file.
func (b *build) build(ctx context.Context, target, executable string, flags buildFlags) error {
	overlay, err := b.writeOverlay()
	if err != nil {
		return err
	}
	args := []string{"build", "-C", b.projectDir, "-overlay", overlay, "-o", executable, "-buildvcs=false"}
	if b.requirements.modFile != "" {
		args = append(args, "-modfile", b.requirements.modFile)
	}
	if flags.strip {
		args = append(args, "-ldflags=-s -w") // a third of the size, and less to link; stack traces need neither
	}
	// All errors of the project's own packages, not the first ten.
	args = append(args, "-gcflags="+b.requirements.path+"/...=-e", "-mod=readonly", target)
	_, err = b.tool.run(ctx, flags.environment(), args...)
	return err
}

// environment is what sets builds apart from what the user's own go commands do.
func (f buildFlags) environment() []string {
	env := []string{"GOWORK=off", "GO111MODULE=on", "GOOS=" + f.goos, "GOARCH=" + f.goarch}
	if os.Getenv("CGO_ENABLED") == "" || f.static {
		env = append(env, "CGO_ENABLED=0") // who uses C says so; all others link faster, and get static programs
	}
	return env
}

// shown is a file's name as problems have it: relative to the project, with slashes. The compiler prints names relative
// to the project too, or absolute ones.
func (b *build) shown(file string) string {
	if !filepath.IsAbs(file) {
		file = filepath.Join(b.projectDir, file)
	}
	return modproc.ShownFile(file, b.projectDir)
}

// inProject reports whether a file as the compiler names it lies in the project.
func (b *build) inProject(file string) bool {
	shown := b.shown(file)
	return filepath.IsLocal(shown) && !strings.HasPrefix(shown, "..")
}
