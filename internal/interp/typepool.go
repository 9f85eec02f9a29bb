package interp

import (
	"crypto/sha256"
	"fmt"
	"go/types"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/concurrent-modular-agent/coma/internal/rtype"
)

// A type of the Go runtime cannot be freed, and a process has room for some ten thousands of them and their methods. So
// the types of a program that is closed wait in a pool for the next program that declares the same ones, which is as a
// rule the next generation of the same module: it puts its own code behind their methods. A value of the closed program
// that compiled code still holds has the methods of the new program from then on.
//
// Two declared types are the same if nothing tells them apart: package, name, type arguments, underlying type, methods,
// and all of this for every type that they mention (see identity). No two programs have a type at the same time.
//
// The pool never gives up a type, as that would not free it; what is in it is bounded by maxMade.
type typePool struct {
	mu   sync.Mutex
	free map[typeKey][]*madeType
	made int // types made by this process
}

// typesLeft is the pool of the process, as the types that it holds are the process's.
var typesLeft typePool

// maxMade bounds the types of a process. With two methods each they need all entry points that package rtype has.
const maxMade = 1 << 16

// typeKey is the digest of an identity.
type typeKey [sha256.Size]byte

// madeType is a runtime type that was built for one that a program declares, or for an unnamed struct with methods.
type madeType struct {
	key            typeKey
	rt, pointer    reflect.Type // T and *T
	value, methods []rtype.Method
	complete       bool
	owner          *typeTable  // nil: waiting in the pool
	mentioned      []*madeType // those made with it, in the order of its identity; nil in places of those that were not needed
	list           []types.Type
}

// maySpend counts a type that is going to be made.
func (pool *typePool) maySpend() error {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if pool.made >= maxMade {
		return rtype.ErrFull
	}
	pool.made++
	return nil
}

// take finds a type with this identity, whose types fit those that the program has already, and makes them its own.
func (pool *typePool) take(tt *typeTable, key typeKey, list []types.Type) *madeType {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	for _, m := range pool.free[key] {
		if m.fits(tt, list) {
			for i, other := range m.mentioned {
				if other != nil && other.owner == nil {
					other.owner = tt
					pool.remove(other)
					tt.adopt(list[i], other)
				}
			}
			return m
		}
	}
	return nil
}

func (m *madeType) fits(tt *typeTable, list []types.Type) bool {
	for i, other := range m.mentioned {
		if other == nil {
			continue
		}
		known, _ := tt.known.At(list[i]).(reflect.Type)
		if known != nil && known != other.rt || known == nil && other.owner != nil {
			return false
		}
	}
	return true
}

func (pool *typePool) remove(m *madeType) {
	rest := slices.DeleteFunc(pool.free[m.key], func(other *madeType) bool { return other == m })
	if len(rest) == 0 {
		delete(pool.free, m.key)
	} else {
		pool.free[m.key] = rest
	}
}

// put takes the types of a program that is closed.
func (pool *typePool) put(made []*madeType) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if pool.free == nil {
		pool.free = map[typeKey][]*madeType{}
	}
	for _, m := range made {
		m.owner = nil
		pool.free[m.key] = append(pool.free[m.key], m)
	}
}

// adopt makes a type of an earlier program that of t.
func (tt *typeTable) adopt(t types.Type, m *madeType) {
	tt.known.Set(t, m.rt)
	tt.keep(t, m)
	tt.pending = append(tt.pending, func() {
		if m.rt.Kind() == reflect.Interface {
			return
		}
		value, methods := tt.methods(t)
		must(rtype.SetMethods(m.rt, aligned(m.value, value)))
		must(rtype.SetMethods(m.pointer, aligned(m.methods, methods)))
	})
}

// aligned is have with the code of methods, where it is among them: which methods of a compiled type are left out (see
// typeTable.methods) depends on what else a program imports.
func aligned(have, methods []rtype.Method) []rtype.Method {
	have = slices.Clone(have)
	for i, m := range have {
		same := func(other rtype.Method) bool { return other.Name == m.Name && other.PkgPath == m.PkgPath }
		if n := slices.IndexFunc(methods, same); n >= 0 {
			have[i] = methods[n]
		}
	}
	return have
}

// keep notes that the program has a type.
func (tt *typeTable) keep(t types.Type, m *madeType) {
	tt.made = append(tt.made, m)
	if m.rt.Kind() != reflect.Interface {
		tt.source.Store(rtypeOf(m.rt), t)
		tt.source.Store(rtypeOf(m.pointer), types.Type(types.NewPointer(t)))
	}
}

// release gives the program's types to the next one, and takes the code from their methods so that the program can be
// collected.
func (tt *typeTable) release() {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	byType := map[reflect.Type]*madeType{}
	for _, m := range tt.made {
		for t, methods := range map[reflect.Type][]rtype.Method{m.rt: m.value, m.pointer: m.methods} {
			if err := rtype.SetMethods(t, methods); err != nil && len(methods) > 0 {
				panic(err) // they are the methods that it was built with
			}
		}
		byType[m.rt] = m
	}
	for _, m := range tt.made {
		for _, t := range m.list {
			rt, _ := tt.known.At(t).(reflect.Type)
			m.mentioned = append(m.mentioned, byType[rt])
		}
		m.list = nil
	}
	// After a load that failed some types are not complete, and those that mention them are not either.
	whole := slices.DeleteFunc(tt.made, func(m *madeType) bool {
		return slices.ContainsFunc(m.mentioned, func(other *madeType) bool { return other != nil && !other.complete })
	})
	typesLeft.put(whole)
	tt.made = nil
	tt.closed = true
}

// withoutCode are methods that say that their program is closed.
func withoutCode(methods []rtype.Method) []rtype.Method {
	methods = slices.Clone(methods)
	for i := range methods {
		methods[i].Raw = nil
		methods[i].Call = func(unsafe.Pointer, []reflect.Value) []reflect.Value { panic(errClosed) }
	}
	return methods
}

// identity writes down all that makes a type what it is. Defined types are written where they first occur, and by their
// number after that: the text has the same types in the same places as any other that is equal to it.
type identity struct {
	tt    *typeTable
	text  []byte
	list  []types.Type // those for which a type may have to be made; the first is the one that is described
	named []*types.Named
}

// identify gives the key of a type's identity, and the types in it.
func (tt *typeTable) identify(t types.Type) (typeKey, []types.Type) {
	id := &identity{tt: tt}
	id.write(t)
	return sha256.Sum256(id.text), id.list
}

func (id *identity) add(format string, args ...any) { id.text = fmt.Appendf(id.text, format, args...) }

func (id *identity) write(t types.Type) {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		id.writeNamed(t)
	case *types.Basic:
		id.add("%d ", t.Kind())
	case *types.Pointer:
		id.add("*")
		id.write(t.Elem())
	case *types.Slice:
		id.add("[]")
		id.write(t.Elem())
	case *types.Array:
		id.add("[%d]", t.Len())
		id.write(t.Elem())
	case *types.Map:
		id.add("map ")
		id.write(t.Key())
		id.write(t.Elem())
	case *types.Chan:
		id.add("chan %d ", t.Dir())
		id.write(t.Elem())
	case *types.Signature:
		id.add("func %t", t.Variadic())
		id.write(t.Params())
		id.write(t.Results())
	case *types.Tuple:
		id.add("(%d ", t.Len())
		for v := range t.Variables() {
			id.write(v.Type())
		}
	case *types.Struct:
		id.list = append(id.list, t) // it may have methods
		id.add("struct %d ", t.NumFields())
		for i := range t.NumFields() {
			f := t.Field(i)
			id.writeName(f)
			id.add("%t %q ", f.Embedded(), t.Tag(i))
			id.write(f.Type())
		}
	case *types.Interface:
		id.add("interface %d ", t.NumMethods())
		for m := range t.Methods() {
			id.writeName(m)
			id.write(m.Signature())
		}
	default:
		panic(&buildError{text: fmt.Sprintf("there is no runtime type for %v (%T)", t, t)})
	}
}

// writeName writes a field's or a method's name, with its package if that counts.
func (id *identity) writeName(o types.Object) {
	if o.Exported() {
		id.add("%s ", o.Name())
	} else {
		id.add("%q.%s ", o.Pkg().Path(), o.Name())
	}
}

func (id *identity) writeNamed(t *types.Named) {
	obj := t.Obj()
	if obj.Pkg() == nil {
		id.add("%s ", obj.Name())
		return
	}
	if !id.tt.p.own[obj.Pkg()] && t.TypeArgs().Len() == 0 {
		id.add("%q.%s ", obj.Pkg().Path(), obj.Name()) // a compiled type is told by its name
		return
	}
	for i, known := range id.named {
		if types.Identical(known, t) {
			id.add("#%d ", i)
			return
		}
	}
	id.named = append(id.named, t)
	id.list = append(id.list, t)
	id.add("type %q %s.%s ", obj.Pkg().Path(), obj.Pkg().Name(), id.tt.nameOf(t))
	for _, arg := range id.tt.locals.outerArgs(id.tt.p, obj) {
		id.write(arg)
	}
	for arg := range t.TypeArgs().Types() {
		id.write(arg)
	}
	id.add("= ")
	id.write(t.Underlying())
	methods := slices.SortedFunc(t.Methods(), func(a, b *types.Func) int { return strings.Compare(a.Id(), b.Id()) })
	id.add("%d ", len(methods))
	for _, m := range methods {
		_, pointer := types.Unalias(m.Signature().Recv().Type()).(*types.Pointer)
		id.writeName(m)
		id.add("%t ", pointer)
		id.write(m.Signature())
	}
}
