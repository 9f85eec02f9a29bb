// Package symbols holds the functions, variables and types of the packages that modules can import, one file a package,
// made by go generate.
//
// The tables are data that the linker lays out: a package that nobody asks for costs no time. Variables are never
// written to.
package symbols

// A Symbol is an exported name of a package with its value: a function; a type T as (*T)(nil); a variable as its address.
type Symbol struct {
	Name  string
	Value any
}

// Table returns the symbols of a package, sorted by name; nil where it has none. Callers do not change it.
func Table(path string) []Symbol { return table(path) }

// Instances returns the instances of generic types that exported names mention, as types, each named as go/types writes
// it with full import paths. Callers do not change it.
func Instances() []Symbol { return instances }
