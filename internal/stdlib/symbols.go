package stdlib

import (
	"reflect"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/stdlib/symbols"
)

// made holds the maps that Symbols and Instances have returned.
var made struct {
	sync.Mutex
	packages  map[string]map[string]reflect.Value
	instances map[string]reflect.Type
}

// Symbols returns the exported functions of a package as func values, its variables as addressable values, and its types
// as nil pointers to them; neither constants nor generics, and none of unsafe. It is nil for a package that is not available.
// The map is the same each time, made at the first call; callers do not change it. It is safe for concurrent use.
func Symbols(path string) map[string]reflect.Value {
	made.Lock()
	defer made.Unlock()
	if known, ok := made.packages[path]; ok {
		return known
	}
	table := symbols.Table(path)
	if table == nil && path != "unsafe" && archive()["export/"+path] == nil {
		return nil
	}
	values := make(map[string]reflect.Value, len(table))
	for _, symbol := range table {
		value := reflect.ValueOf(symbol.Value)
		if value.Kind() == reflect.Pointer && !value.IsNil() {
			value = value.Elem() // a variable, by its address
		}
		values[symbol.Name] = value
	}
	if made.packages == nil {
		made.packages = map[string]map[string]reflect.Value{}
	}
	made.packages[path] = values
	return values
}

// Instance returns the type of an instance of a generic type that exported names of packages mention: values of it come
// from compiled code, so it must be the very type. It is nil for others, which nothing compiled knows. The name is as
// types.TypeString writes it with full import paths: "iter.Seq2[int, go/types.Type]".
func Instance(name string) reflect.Type {
	made.Lock()
	defer made.Unlock()
	if made.instances == nil {
		made.instances = map[string]reflect.Type{}
		for _, symbol := range symbols.Instances() {
			made.instances[symbol.Name] = reflect.TypeOf(symbol.Value).Elem()
		}
	}
	return made.instances[name]
}
