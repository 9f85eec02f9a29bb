package check

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// wantRun is what a module's package must have. The names of the parameters are the author's to choose.
const wantRun = "func Run(ctx context.Context, agent *coma.Agent) error"

// comaPath is the import path of the package that holds Agent.
const comaPath = "github.com/concurrent-modular-agent/coma"

// Run returns the module's Run function, or says what is wrong with it or what may be meant for it.
func Run(main *Checked) (*types.Func, []Error) {
	run, ok := main.Types.Scope().Lookup("Run").(*types.Func)
	if !ok {
		return nil, []Error{noRun(main)}
	}
	signature := run.Signature()
	if wrong := wrongSignature(signature); wrong != "" {
		return nil, []Error{{
			Pos:     run.Pos(),
			Message: fmt.Sprintf("Run %s\n\thave %s\n\twant %s", wrong, shown(run, main.Types), wantRun),
		}}
	}
	return run, nil
}

// wrongSignature says what keeps a Run from being called, "" if nothing does.
func wrongSignature(s *types.Signature) string {
	if s.TypeParams().Len() > 0 {
		return "has type parameters, and coma would not know what to put for them"
	}
	if s.Variadic() {
		return "takes any number of arguments (...), and is given two"
	}
	switch n := s.Params().Len(); {
	case n == 0:
		return "takes no parameters, and is given a context and the agent"
	case n == 1 && isContext(s.Params().At(0).Type()):
		return "does not take the agent"
	case n == 1 && isAgent(s.Params().At(0).Type()):
		return "does not take a context, which says when to stop"
	case n != 2:
		return fmt.Sprintf("has %s, and is given a context and the agent", count(n, "parameter"))
	}
	first, second := s.Params().At(0).Type(), s.Params().At(1).Type()
	switch {
	case isAgent(first) && isContext(second):
		return "has its parameters the other way round"
	case !isContext(first):
		return "has another first parameter than a context"
	case types.Identical(types.NewPointer(second), types.Unalias(second)) || isAgent(types.NewPointer(second)):
		return "takes the agent by value: a * is missing"
	case !isAgent(second):
		return "has another second parameter than the agent"
	}
	results := s.Results()
	switch n := results.Len(); {
	case n == 0:
		return "returns nothing: return an error, nil where all is well"
	case n > 1:
		return fmt.Sprintf("returns %s: return an error alone", count(n, "value"))
	case !types.Identical(results.At(0).Type(), types.Universe.Lookup("error").Type()):
		return "does not return an error"
	}
	return ""
}

func isContext(t types.Type) bool { return isNamed(t, "context", "Context") }

func isAgent(t types.Type) bool {
	pointer, ok := types.Unalias(t).(*types.Pointer)
	return ok && isNamed(pointer.Elem(), comaPath, "Agent")
}

func isNamed(t types.Type, path, name string) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Name() == name && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == path
}

// noRun says that there is no function Run, at what may be meant for it.
func noRun(main *Checked) Error {
	scope := main.Types.Scope()
	if other := scope.Lookup("Run"); other != nil {
		return Error{Pos: other.Pos(), Message: fmt.Sprintf("Run is a %s, and must be a function\n\twant %s", kind(other), wantRun)}
	}
	for _, name := range scope.Names() {
		if function, ok := scope.Lookup(name).(*types.Func); ok && strings.EqualFold(name, "run") {
			return Error{Pos: function.Pos(), Message: fmt.Sprintf("function %s must be called Run\n\twant %s", name, wantRun)}
		}
	}
	if method := runMethod(scope); method != nil {
		return Error{Pos: method.Pos(), Message: fmt.Sprintf("Run is a method of %s, and must be a function\n\twant %s",
			types.TypeString(method.Signature().Recv().Type(), types.RelativeTo(main.Types)), wantRun)}
	}
	if candidate := callable(scope); candidate != nil {
		return Error{Pos: candidate.Pos(), Message: fmt.Sprintf("package %s has no function Run; is %s meant?\n\twant %s",
			main.Types.Name(), candidate.Name(), wantRun)}
	}
	// Files come in the caller's order; the first by name is what a reader of the folder looks into.
	first := slices.MinFunc(main.Files, func(a, b *ast.File) int { return cmp.Compare(a.FileStart, b.FileStart) })
	return Error{Pos: first.Name.Pos(), Message: fmt.Sprintf("package %s has no function Run\n\twant %s", main.Types.Name(), wantRun)}
}

// runMethod finds a method Run of a type of the package.
func runMethod(scope *types.Scope) *types.Func {
	for _, name := range scope.Names() {
		declared, ok := scope.Lookup(name).(*types.TypeName)
		if !ok {
			continue
		}
		named, ok := declared.Type().(*types.Named)
		if !ok {
			continue
		}
		for method := range named.Methods() {
			if method.Name() == "Run" {
				return method
			}
		}
	}
	return nil
}

// callable finds a function of another name that coma could call as Run.
func callable(scope *types.Scope) *types.Func {
	for _, name := range scope.Names() {
		if function, ok := scope.Lookup(name).(*types.Func); ok && wrongSignature(function.Signature()) == "" {
			return function
		}
	}
	return nil
}

// shown is a function's declaration as the package's author would write it.
func shown(function *types.Func, pkg *types.Package) string {
	return types.ObjectString(function, func(other *types.Package) string {
		if other == pkg {
			return ""
		}
		return other.Name()
	})
}

func kind(object types.Object) string {
	switch object.(type) {
	case *types.Var:
		return "variable"
	case *types.Const:
		return "constant"
	default:
		return "type"
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
