package main

import (
	"errors"
	"fmt"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"testing/fstest"
	"time"

	yaegiinterp "github.com/traefik/yaegi/interp"
	yaegistdlib "github.com/traefik/yaegi/stdlib"

	"github.com/concurrent-modular-agent/coma/bench/micro"
	"github.com/concurrent-modular-agent/coma/internal/check"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/cache"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/fusion"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/parser"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/planner"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/ratelimit"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/retry"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/scheduler"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/statemachine"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/toolloop"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/webservice"
	"github.com/concurrent-modular-agent/coma/internal/interp"
	"github.com/concurrent-modular-agent/coma/internal/stdlib"
)

const (
	root       = "github.com/concurrent-modular-agent/coma" // the import path of this repository
	microDir   = "bench/micro"
	modulesDir = "internal/differential/testdata/modules"
)

// linked is what the engine "compiled" runs: this binary's own functions, by folder and name.
var linked = map[string]any{
	modulesDir + "/cache.Run":        cache.Run,
	modulesDir + "/fusion.Run":       fusion.Run,
	modulesDir + "/parser.Run":       parser.Run,
	modulesDir + "/planner.Run":      planner.Run,
	modulesDir + "/ratelimit.Run":    ratelimit.Run,
	modulesDir + "/retry.Run":        retry.Run,
	modulesDir + "/scheduler.Run":    scheduler.Run,
	modulesDir + "/statemachine.Run": statemachine.Run,
	modulesDir + "/toolloop.Run":     toolloop.Run,
	modulesDir + "/webservice.Run":   webservice.Run,
	microDir + ".FunctionCall":       micro.FunctionCall,
	microDir + ".MethodCall":         micro.MethodCall,
	microDir + ".InterfaceCall":      micro.InterfaceCall,
	microDir + ".Arithmetic":         micro.Arithmetic,
	microDir + ".MapAccess":          micro.MapAccess,
	microDir + ".ChannelRoundTrip":   micro.ChannelRoundTrip,
	microDir + ".Marshal":            micro.Marshal,
}

// An engine runs the Go of a folder.
type engine string

const (
	compiled    engine = "compiled"
	interpreted engine = "interpreted" // as in a module's own process
	yaegi       engine = "yaegi"
)

// lookup loads a folder and returns one of its functions, which must be a T.
func lookup[T any](e engine, dir, name string) (T, error) {
	var value any
	var err error
	switch e {
	case compiled:
		value = linked[dir+"."+name]
	case interpreted:
		var p *program
		if p, err = interpret(dir); err == nil {
			value = p.Lookup(p.path, name).Interface()
		}
	case yaegi:
		value, err = peerLookup(dir, name)
	}
	f, ok := value.(T)
	if err == nil && !ok {
		err = fmt.Errorf("%s.%s is a %T", dir, name, value)
	}
	return f, err
}

// program is interpreted code that has been initialised, and what the steps to that took.
type program struct {
	*interp.Program
	path          string
	check         time.Duration // parsing, types, and what the interpreter refuses
	compile, init time.Duration
}

// interpret loads one package.
func interpret(dir string) (*program, error) {
	began := time.Now()
	p := &program{path: path.Join(root, dir)}
	fset := token.NewFileSet()
	pkg := check.Package{Path: p.path}
	texts, err := sources(dir)
	if err != nil {
		return nil, err
	}
	for name, text := range texts {
		file, wrong := check.Parse(fset, name, text)
		if len(wrong) > 0 {
			return nil, told(fset, wrong)
		}
		pkg.Name, pkg.Files = file.Name.Name, append(pkg.Files, file)
	}
	checked, wrong := check.Check(fset, []check.Package{pkg})
	if len(wrong) == 0 {
		wrong = check.Refused(fset, checked)
	}
	if len(wrong) > 0 {
		return nil, told(fset, wrong)
	}
	p.check = time.Since(began)
	if p.Program, err = interp.Load(fset, checked, interp.Options{}); err != nil {
		return nil, err
	}
	p.compile = time.Since(began) - p.check
	p.Init()
	p.init = time.Since(began) - p.check - p.compile
	return p, nil
}

func told(fset *token.FileSet, wrong []check.Error) error {
	return fmt.Errorf("%s: %s", fset.Position(wrong[0].Pos), wrong[0].Message)
}

// sources reads the Go files of a folder.
func sources(dir string) (map[string][]byte, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	texts := map[string][]byte{}
	for _, name := range names {
		if texts[name], err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("no Go files in %s (run this in the repository's folder)", dir)
	}
	return texts, nil
}

// peerLookup loads a folder into yaegi. It panics on some of what it cannot compile.
func peerLookup(dir, name string) (value any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("yaegi panics: %v", cause)
		}
	}()
	texts, err := sources(dir)
	if err != nil {
		return nil, err
	}
	importPath := path.Join(root, dir)
	tree := fstest.MapFS{}
	for name, text := range texts {
		tree[path.Join("src", importPath, filepath.Base(name))] = &fstest.MapFile{Data: text}
	}
	in := yaegiinterp.New(yaegiinterp.Options{SourcecodeFilesystem: tree, Unrestricted: true})
	own := yaegiinterp.Exports{}
	for _, p := range []string{root, root + "/llm"} {
		own[p+"/"+path.Base(p)] = map[string]reflect.Value(stdlib.Symbols(p))
	}
	if err := errors.Join(in.Use(yaegistdlib.Symbols), in.Use(own)); err != nil {
		return nil, err
	}
	if _, err := in.Eval(fmt.Sprintf("import peer %q", importPath)); err != nil {
		return nil, err
	}
	v, err := in.Eval("peer." + name)
	if err != nil {
		return nil, err
	}
	return v.Interface(), nil
}
