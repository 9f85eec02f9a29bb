package stdlib

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/ssa"
)

// build makes SSA of a program of one file, the way that the interpreter does.
func build(t testing.TB, text string) *ssa.Package {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "main.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	main, err := check(types.NewPackage("main", "main"), fset, []*ast.File{file}, Import)
	if err != nil {
		t.Fatal(err)
	}
	shadows, err := Redirect(fset, main.Info)
	if err != nil {
		t.Fatal(err)
	}
	program := ssa.NewProgram(fset, ssa.InstantiateGenerics|ssa.SanityCheckFunctions)
	var need func(p *types.Package)
	need = func(p *types.Package) {
		if program.Package(p) != nil {
			return
		}
		if source, ok := Source(p.Path()); ok {
			program.CreatePackage(p, source.Files, source.Info, true)
			for _, imported := range p.Imports() {
				need(imported)
			}
			return
		}
		program.CreatePackage(p, nil, nil, true)
	}
	for _, checked := range append(shadows, main) {
		for _, imported := range checked.Types.Imports() {
			need(imported)
		}
	}
	for _, shadow := range shadows {
		program.CreatePackage(shadow.Types, shadow.Files, shadow.Info, true).Build()
	}
	built := program.CreatePackage(main.Types, main.Files, main.Info, true)
	built.Build()
	return built
}

// reach visits every function that f refers to, directly or not.
func reach(f *ssa.Function, seen map[*ssa.Function]bool, global func(*ssa.Global)) {
	if seen[f] {
		return
	}
	seen[f] = true
	for _, inner := range f.AnonFuncs {
		reach(inner, seen, global)
	}
	for _, block := range f.Blocks {
		for _, instruction := range block.Instrs {
			for _, operand := range instruction.Operands(nil) {
				switch v := (*operand).(type) {
				case *ssa.Function:
					reach(v, seen, global)
				case *ssa.Global:
					global(v)
				}
			}
		}
	}
}

// Whatever a program without generics of its own comes to call is source, or a symbol.
func TestGenericsBuild(t *testing.T) {
	built := build(t, everyGeneric)
	seen := map[*ssa.Function]bool{}
	reach(built.Func("main"), seen, func(g *ssa.Global) {
		if _, ok := Symbols(g.Pkg.Pkg.Path())[g.Name()]; !ok && g.Pkg != built {
			t.Errorf("variable %s is nowhere", g)
		}
	})
	sources := map[string]bool{} // generic functions that have a body
	for f := range seen {
		if f.Blocks != nil {
			if origin := f.Origin(); origin != nil {
				sources[origin.String()] = true
			}
			continue
		}
		object := f.Object()
		if object == nil {
			t.Errorf("%s has no body and no object", f)
			continue
		}
		receiver := object.(*types.Func).Signature().Recv()
		if receiver == nil {
			if _, ok := Symbols(object.Pkg().Path())[object.Name()]; !ok {
				t.Errorf("%s has no body and no symbol", f)
			}
			continue
		}
		named := receiver.Type()
		if pointer, ok := named.(*types.Pointer); ok {
			named = pointer.Elem()
		}
		name := named.(*types.Named).Obj().Name()
		if value, ok := Symbols(object.Pkg().Path())[name]; !ok {
			t.Errorf("%s has no body and its receiver no symbol", f)
		} else if _, ok := value.Type().MethodByName(object.Name()); !ok {
			t.Errorf("%s has no body and no symbol", f)
		}
	}
	for _, path := range Packages() {
		imported, err := Import(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range imported.Scope().Names() {
			f, ok := imported.Scope().Lookup(name).(*types.Func)
			if !ok || !f.Exported() || f.Signature().TypeParams().Len() == 0 {
				continue
			}
			full := shadow + path + "." + name
			if slices.Contains(typed, path) {
				full = path + "." + name
			}
			if !sources[full] {
				t.Errorf("%s is generic and was not built; have %s", full, strings.Join(slices.Sorted(maps.Keys(sources)), " "))
			}
		}
	}
	for _, method := range []string{"(*sync/atomic.Pointer[T]).Load", "(*sync/atomic.Pointer[T]).CompareAndSwap", "(unique.Handle[T]).Value", "(weak.Pointer[T]).Value"} {
		if !sources[method] {
			t.Errorf("%s was not built; have %s", method, strings.Join(slices.Sorted(maps.Keys(sources)), " "))
		}
	}
}

// A program gets no more than it uses, and traces name the lines of Go's own source.
func TestRedirectPrunes(t *testing.T) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "main.go", `package main
import "slices"
func main() { println(slices.Contains([]int{1}, 1)) }`, 0)
	if err != nil {
		t.Fatal(err)
	}
	main, err := check(types.NewPackage("main", "main"), fset, []*ast.File{file}, Import)
	if err != nil {
		t.Fatal(err)
	}
	shadows, err := Redirect(fset, main.Info)
	if err != nil {
		t.Fatal(err)
	}
	if len(shadows) != 1 || fmt.Sprint(shadows[0].Types.Scope().Names()) != "[Contains Index]" {
		t.Fatalf("got %v", shadows)
	}
	position := fset.Position(shadows[0].Types.Scope().Lookup("Contains").Pos())
	if position.Filename != "slices/slices.go" || position.Line < 100 {
		t.Errorf("slices.Contains is at %s", position)
	}
	if again, err := Redirect(fset, main.Info); err != nil || len(again) != 0 {
		t.Errorf("a second Redirect gives %v, %v", again, err)
	}
}

func BenchmarkRedirectSort(b *testing.B) {
	text := `package main
import ("slices"; "maps"; "strings")
func main() { x := slices.Sorted(maps.Keys(map[string]int{})); slices.SortFunc(x, strings.Compare); println(slices.Contains(x, "")) }`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "main.go", text, 0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		main, err := check(types.NewPackage("main", "main"), fset, []*ast.File{file}, Import)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := Redirect(fset, main.Info); err != nil {
			b.Fatal(err)
		}
	}
}

const everyGeneric = `package main

import (
	"cmp"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unique"
	"weak"
)

type ints []int

type node struct {
	name string
	next atomic.Pointer[node]
}

func main() {
	s := ints{3, 1, 2}
	less := func(a, b int) int { return b - a }
	even := func(a int) bool { return a%2 == 0 }
	same := func(a, b int) bool { return a == b }
	slices.Sort(s)
	slices.SortFunc(s, less)
	slices.SortStableFunc(s, less)
	fmt.Println(slices.IsSorted(s), slices.IsSortedFunc(s, less), slices.Min(s), slices.Max(s), slices.MinFunc(s, less), slices.MaxFunc(s, less))
	fmt.Println(slices.BinarySearch(s, 2))
	fmt.Println(slices.BinarySearchFunc(s, 2, cmp.Compare[int]))
	s = slices.AppendSeq(s, slices.Values(slices.Clone(s)))
	s = slices.Compact(slices.Grow(slices.Clip(s), 4))
	s = slices.CompactFunc(s, same)
	s = slices.Delete(slices.Insert(s, 0, 7, 8, 9), 0, 1)
	s = slices.Replace(slices.DeleteFunc(slices.Concat(s, s), even), 0, 1, 4, 5, 6)
	slices.Reverse(s)
	fmt.Println(slices.Equal(s, s), slices.EqualFunc(s, s, same), slices.Compare(s, s), slices.CompareFunc(s, s, less))
	fmt.Println(slices.Index(s, 1), slices.IndexFunc(s, even), slices.Contains(s, 1), slices.ContainsFunc(s, even), slices.Repeat(s, 2))
	for i, v := range slices.Backward(s) {
		fmt.Println(i, v)
	}
	for c := range slices.Chunk(slices.Collect(slices.Values(s)), 2) {
		fmt.Println(c)
	}
	for i, v := range slices.All(s) {
		fmt.Println(i, v)
	}
	fmt.Println(slices.Sorted(slices.Values(s)), slices.SortedFunc(slices.Values(s), less), slices.SortedStableFunc(slices.Values(s), less))

	m := map[string]int{"a": 1, "b": 2}
	n := maps.Clone(m)
	maps.Copy(n, m)
	maps.DeleteFunc(n, func(k string, v int) bool { return v > 1 })
	maps.Insert(n, maps.All(m))
	fmt.Println(maps.Equal(m, n), maps.EqualFunc(m, n, same), maps.Collect(maps.All(m)), slices.Sorted(maps.Keys(m)), slices.Sorted(maps.Values(m)))

	fmt.Println(cmp.Compare("a", "b"), cmp.Less(1.5, 2), cmp.Or(0, 3))
	next, stop := iter.Pull(strings.SplitSeq("a b", " "))
	fmt.Println(next())
	stop()
	next2, stop2 := iter.Pull2(maps.All(m))
	fmt.Println(next2())
	stop2()
	once := sync.OnceValue(func() int { return 1 })
	twice := sync.OnceValues(func() (int, error) { return 1, nil })
	fmt.Println(once())
	fmt.Println(twice())
	fmt.Println(reflect.TypeFor[node](), rand.N(10*time.Second) < 10*time.Second)
	fmt.Println(reflect.TypeAssert[int](reflect.ValueOf(1)))
	fmt.Println(errors.AsType[*fs.PathError](fmt.Errorf("x: %w", &fs.PathError{})))
	seed := maphash.MakeSeed()
	var h maphash.Hash
	maphash.WriteComparable(&h, "x")
	fmt.Println(maphash.Comparable(seed, 1) == maphash.Comparable(seed, 1))
	key, err := pbkdf2.Key(sha256.New, "x", nil, 1, 8)
	fmt.Println(key, err)
	key, err = hkdf.Key(sha256.New, key, nil, "", 8)
	fmt.Println(key, err)
	key, err = hkdf.Extract(sha256.New, key, nil)
	fmt.Println(key, err)
	key, err = hkdf.Expand(sha256.New, key, "", 8)
	fmt.Println(key, err)

	a := &node{name: "a"}
	a.next.Store(&node{name: "b"})
	b := a.next.Load()
	fmt.Println(a.next.CompareAndSwap(b, nil), a.next.Swap(b), b.name)
	var count atomic.Int64
	count.Add(1)
	fmt.Println(unique.Make("x") == unique.Make("x"), unique.Make(2).Value())
	w := weak.Make(a)
	runtime.AddCleanup(a, func(name string) { fmt.Println(name) }, "a")
	fmt.Println(w.Value() == a)
}
`

// Programs are checked and built while others import what nobody has yet.
func TestConcurrentPrograms(t *testing.T) {
	loaded.Lock()
	loaded.packages = nil // as in a fresh process
	loaded.Unlock()
	for i, text := range []string{
		everyGeneric,
		"package main\nimport (\"net/http\"; \"crypto/tls\")\nfunc main() { s := http.Server{TLSConfig: &tls.Config{}}; println(s.ListenAndServe() == nil) }",
		"package main\nimport (\"crypto/x509\"; \"slices\"; \"sync/atomic\")\nfunc main() { var p atomic.Pointer[x509.Certificate]; p.Store(nil); slices.SortFunc([]*x509.Certificate{p.Load()}, func(a, b *x509.Certificate) int { return a.Version - b.Version }) }",
		"package main\nimport (\"go/types\"; \"maps\"; \"unique\"; \"net/netip\")\nfunc main() { m := map[unique.Handle[netip.Addr]]types.Type{}; for k := range maps.Keys(m) { println(k.Value().String()) } }",
		"package main\nimport (\"text/template\"; \"encoding/json\"; \"os\")\nfunc main() { var v any; json.NewDecoder(os.Stdin).Decode(&v); template.Must(template.New(\"\").Parse(\"\")).Execute(os.Stdout, v) }",
	} {
		for range 2 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				build(t, text)
			})
		}
	}
}

// A generic type with methods comes from source, or is said to be unsupported.
func TestGenericTypesAreAccountedFor(t *testing.T) {
	unsupported := map[string]bool{}
	for _, missing := range Unsupported() {
		unsupported[missing.Path+"."+missing.Name] = true
	}
	for _, path := range Packages() {
		imported, err := Import(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range imported.Scope().Names() {
			object, ok := imported.Scope().Lookup(name).(*types.TypeName)
			if !ok || !object.Exported() {
				continue
			}
			named, ok := object.Type().(*types.Named)
			if !ok || named.TypeParams().Len() == 0 || named.NumMethods() == 0 {
				continue
			}
			full := path + "." + name
			if _, ok := Source(path); ok == unsupported[full] {
				t.Errorf("%s: from source %t, unsupported %t", full, ok, unsupported[full])
			}
			delete(unsupported, full)
		}
	}
	for full := range unsupported {
		t.Errorf("%s is said to be unsupported", full)
	}
}
