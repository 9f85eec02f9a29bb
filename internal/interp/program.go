package interp

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"maps"
	"math/bits"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"weak"

	"golang.org/x/tools/go/ssa"

	"github.com/concurrent-modular-agent/coma/internal/check"
	"github.com/concurrent-modular-agent/coma/internal/rtype"
	"github.com/concurrent-modular-agent/coma/internal/stdlib"
)

// Options say how a program stands in the process that it runs in.
type Options struct {
	// Symbol, if not nil, replaces exported functions and variables of compiled packages: a func value, or the
	// variable, addressable. The type must be that of what it replaces.
	Symbol func(path, name string) (reflect.Value, bool)
	// Traced replaces functions and methods of compiled packages ("os.Exit", "(*log.Logger).Fatal") where they are called by
	// name: they are told where from.
	Traced map[string]Traced
	// Dir is the folder that the files' names are relative to; runtime.Caller tells absolute ones.
	Dir string
	// Folder is the folder of a package, by import path, for //go:embed.
	Folder func(path string) fs.FS
	// Uncaught is told of a panic that would end the process: nobody has recovered it on a goroutine that the program
	// started. It must not return. nil: the panic goes on.
	Uncaught func(value any, frames []Frame)
	// Interruptible makes channel operations end when Halt is called. They are slower.
	Interruptible bool
	// Stderr is where the builtins print and println write; nil: os.Stderr.
	Stderr io.Writer
	// MaxDepth is how deep calls may nest before Uncaught is told of ErrStackOverflow; 0: as deep as the stack that the
	// process allows (debug.SetMaxStack), which is 750,000 for each 256 MB, and at most DefaultMaxDepth.
	MaxDepth int
}

// Traced stands in for a compiled function. Frames are where it is called, innermost first; in are the receiver, if it is a
// method, and the arguments, variadic ones as a slice. It returns the results.
type Traced func(frames []Frame, in []reflect.Value) []reflect.Value

// LoadError is something that checked source asks for and cannot have.
type LoadError struct {
	Pos     token.Pos // of the function that asks for it
	Message string
	Refusal string // not "" where compiled Go would do it
}

func (e *LoadError) Error() string { return e.Message }

// DefaultMaxDepth keeps an endless recursion from taking more memory than it is worth: a call takes some hundred bytes of
// heap, too.
const DefaultMaxDepth = 1_000_000

// callStack is what an interpreted call takes of the Go stack, in bytes: 200 to 310, as TestCallStack measures, and some
// room for the compiled code that the innermost one calls.
const callStack = 356

// maxDepth is how deep calls may nest in this process.
func maxDepth() int {
	limit := debug.SetMaxStack(1 << 30) // the only way to ask
	debug.SetMaxStack(limit)
	limit = 1 << (bits.Len(uint(limit)) - 1) // stacks grow by doubling
	return min(limit/callStack, DefaultMaxDepth)
}

// ErrStackOverflow is what Uncaught is told when calls nest too deep.
var ErrStackOverflow = stackOverflow{}

type stackOverflow struct{}

func (stackOverflow) Error() string { return "stack overflow" }

// Program is interpreted code. Its methods may be called from any goroutine.
type Program struct {
	opt           Options
	fset          *token.FileSet
	prog          *ssa.Program
	types         *typeTable
	source        map[*types.Package]*ssa.Package // packages with function bodies
	own           map[*types.Package]bool         // those among them that nothing compiled knows
	order         []*ssa.Package                  // of initialisation
	traced        map[string]Traced
	interruptible bool
	maxDepth      int

	files map[*types.Package][]*ast.File // of own

	functions sync.Map // *ssa.Function to *function
	globals   sync.Map // *ssa.Global to unsafe.Pointer
	envs      sync.Map // *ssa.Function to *envLayout
	passing   passing
	errors    runtimeErrors

	numbered    atomic.Int64  // functions so far
	threads     sync.Pool     // of *thread
	collections atomic.Uint64 // garbage collections since loading, as far as they have been noticed

	compiling []*function // to do, while loading; guarded by loadMu
	loading   bool
	loadMu    sync.Mutex

	halted atomic.Bool
	halt   chan struct{}
}

// Load compiles checked packages, given with dependencies first. Nothing of theirs runs yet.
func Load(fset *token.FileSet, packages []*check.Checked, opt Options) (p *Program, err error) {
	if err := rtype.Check(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	p = &Program{
		opt: opt, fset: fset, source: map[*types.Package]*ssa.Package{}, own: map[*types.Package]bool{},
		files:         map[*types.Package][]*ast.File{},
		interruptible: opt.Interruptible,
		maxDepth:      opt.MaxDepth, halt: make(chan struct{}), loading: true,
	}
	var ok bool
	if p.errors, ok = newRuntimeErrors(); !ok {
		return nil, errors.New("load: the runtime's errors are not as this version of coma knows them")
	}
	if p.maxDepth == 0 {
		p.maxDepth = maxDepth()
	}
	if p.opt.Stderr == nil {
		p.opt.Stderr = os.Stderr
	}
	p.traced = p.stackFunctions()
	maps.Copy(p.traced, opt.Traced)
	p.types = &typeTable{p: p, learned: map[*types.Package]bool{}}
	defer func() {
		if r := recover(); r != nil {
			e := failed(r)
			if main := packages[len(packages)-1]; !e.pos.IsValid() && len(main.Files) > 0 {
				e.pos = main.Files[0].Package
			}
			p.types.release()
			p, err = nil, &LoadError{Pos: e.pos, Message: e.text, Refusal: e.refusal}
		}
	}()
	if err := p.build(packages); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	for _, pkg := range packages {
		p.embed(pkg)
	}
	p.compileAll()
	p.noticeCollections()
	return p, nil
}

// noticeCollections counts garbage collections for as long as the program is reachable.
func (p *Program) noticeCollections() {
	type sentinel struct{ _ *byte }
	counted := weak.Make(p)
	var next func(struct{})
	next = func(struct{}) {
		if p := counted.Value(); p != nil {
			p.collections.Add(1)
			runtime.AddCleanup(new(sentinel), next, struct{}{})
		}
	}
	runtime.AddCleanup(new(sentinel), next, struct{}{})
}

// build makes the SSA form of the packages.
func (p *Program) build(packages []*check.Checked) error {
	p.prog = ssa.NewProgram(p.fset, ssa.InstantiateGenerics|ssa.BuildSerially)
	infos := make([]*types.Info, len(packages))
	for i, pkg := range packages {
		infos[i] = pkg.Info
	}
	generics, err := stdlib.Redirect(p.fset, infos...)
	if err != nil {
		return err
	}
	created := map[*types.Package]bool{}
	create := func(pkg *types.Package, files []*ast.File, info *types.Info) {
		created[pkg] = true
		built := p.prog.CreatePackage(pkg, files, info, true)
		if files != nil {
			p.source[pkg] = built
			p.order = append(p.order, built)
		}
	}
	for _, pkg := range generics {
		create(pkg.Types, pkg.Files, pkg.Info)
		p.own[pkg.Types] = true
	}
	for _, pkg := range packages {
		constantRanges(pkg)
		create(pkg.Types, pkg.Files, pkg.Info)
		p.own[pkg.Types] = true
		p.files[pkg.Types] = pkg.Files
		p.prog.Package(pkg.Types).SetDebugMode(true) // it tells of each value which expression's it is
	}
	for _, pkg := range slices.Clone(p.order) {
		for _, imported := range pkg.Pkg.Imports() {
			if created[imported] {
				continue
			}
			if source, ok := stdlib.Source(imported.Path()); ok {
				create(source.Types, source.Files, source.Info)
			} else {
				create(imported, nil, nil)
			}
		}
	}
	for _, built := range p.order {
		for _, imported := range built.Pkg.Imports() {
			if !created[imported] { // by a package of the standard library that is interpreted
				created[imported] = true
				p.prog.CreatePackage(imported, nil, nil, true)
			}
		}
	}
	for _, built := range p.order { // once all exist, since instances are built where they are used
		built.Build()
	}
	return nil
}

// interpreted tells whether a package's source is run here.
func (p *Program) interpreted(pkg *types.Package) bool { return p.source[pkg] != nil }

// pathOf is a package's path as reflect tells it.
func (p *Program) pathOf(pkg *types.Package) string {
	return strings.TrimPrefix(pkg.Path(), "coma.std/")
}

// compileAll compiles every function of the packages, and those that they call, so that what cannot be compiled is known
// before anything runs.
func (p *Program) compileAll() {
	for _, pkg := range p.order {
		if p.standard(pkg.Pkg) {
			continue // as far as they are called
		}
		for _, name := range sortedMembers(pkg) {
			switch m := pkg.Members[name].(type) {
			case *ssa.Function:
				p.compileTree(m)
			case *ssa.Type:
				named, ok := types.Unalias(m.Type()).(*types.Named)
				if !ok || named.TypeParams().Len() > 0 {
					continue
				}
				for i := range named.NumMethods() {
					if fn := p.prog.FuncValue(named.Method(i)); fn != nil {
						p.compileTree(fn)
					}
				}
			}
		}
	}
	for {
		p.loadMu.Lock()
		if len(p.compiling) == 0 {
			p.loading = false
			p.loadMu.Unlock()
			return
		}
		fn := p.compiling[len(p.compiling)-1]
		p.compiling = p.compiling[:len(p.compiling)-1]
		p.loadMu.Unlock()
		fn.readyAt()
	}
}

// readyAt is ready, with the function's place in the error.
func (fn *function) readyAt() {
	defer func() {
		if r := recover(); r != nil {
			e := failed(r)
			if !e.pos.IsValid() {
				e.pos, e.refusal = fn.ssa.Pos(), refusedHere
			}
			panic(e)
		}
	}()
	fn.ready()
}

// refusedHere is the refusal of what nobody has foreseen.
const refusedHere = "evaluator"

// failed is the error that stopped loading, given what was recovered. A mistake of the evaluator's own, or of a library's
// that it stands on, is an error of this one module: others go on, and the Go toolchain may well compile it.
func failed(r any) *buildError {
	if e, ok := r.(*buildError); ok {
		return e
	}
	return &buildError{text: fmt.Sprintf("the interpreter cannot load this: %v", r), refusal: refusedHere}
}

func sortedMembers(pkg *ssa.Package) []string {
	names := make([]string, 0, len(pkg.Members))
	for name := range pkg.Members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// compileTree notes a function and the literals in it.
func (p *Program) compileTree(fn *ssa.Function) {
	if fn.TypeParams().Len() > 0 && len(fn.TypeArgs()) == 0 || fn.Blocks == nil {
		return // only its instances run
	}
	p.compileLater(p.function(fn))
}

// compileLater has a function compiled before loading ends. Once it has ended, functions are compiled when called.
func (p *Program) compileLater(fn *function) {
	p.loadMu.Lock()
	defer p.loadMu.Unlock()
	if p.loading && !fn.noted {
		fn.noted = true
		p.compiling = append(p.compiling, fn)
	}
}

// standard tells whether a package is of the standard library, though interpreted.
func (p *Program) standard(pkg *types.Package) bool {
	return !p.own[pkg] || strings.HasPrefix(pkg.Path(), "coma.std/")
}

// Init runs the initialisers of package variables and the init functions, in Go's order. A panic passes on.
func (p *Program) Init() {
	for _, pkg := range p.order {
		p.function(pkg.Func("init")).fromCompiled(nil, nil, nil, nil)
	}
}

// Lookup is a package-level function as a Go func; the zero Value if there is none.
func (p *Program) Lookup(path, name string) reflect.Value {
	for pkg, built := range p.source {
		if pkg.Path() != path {
			continue
		}
		if fn := built.Func(name); fn != nil && fn.Blocks != nil {
			return p.function(fn).native(p.types.of(fn.Signature))
		}
	}
	return reflect.Value{}
}

// Halt ends the program's goroutines: loops and calls within microseconds, channel operations too if the program is
// interruptible. What compiled code does goes on until it returns. Deferred calls do not run.
func (p *Program) Halt() {
	if p.halted.CompareAndSwap(false, true) {
		close(p.halt)
	}
}

// Close forgets the program, which must have been halted: what is left of it is only its types, which cannot be taken
// away from values that compiled code may still hold.
func (p *Program) Close() { p.types.release() }

func (p *Program) haltCase() reflect.SelectCase {
	return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(p.halt)}
}
