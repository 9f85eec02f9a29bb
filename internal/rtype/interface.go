package rtype

import (
	"fmt"
	"go/token"
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// Interface makes an interface type with methods, unexported ones too, whose Call is not used. pkgPath is the package
// that it is written in. The same methods give the same type.
func Interface(pkgPath string, methods []Method) (reflect.Type, error) {
	if len(methods) == 0 {
		return reflect.TypeFor[any](), nil
	}
	methods, err := sorted("interface", methods)
	if err != nil {
		return nil, err
	}
	text, key := describeMethods(methods)
	if t, ok := interfaces.Load(key); ok {
		return t.(reflect.Type), nil
	}
	h := newHeader(unsafe.Sizeof(interfaceType{}))
	*h = *headerOf(reflect.TypeFor[error]())
	h.flags = 0
	h.text = nameOffset(plainName(text))
	h.hash = newHash(text)
	h.pointerTo = 0
	if err := describeInterface(h.asInterface(), pkgPath, methods); err != nil {
		return nil, err
	}
	t, _ := interfaces.LoadOrStore(key, typeOf(h))
	return t.(reflect.Type), nil
}

// interfaces has the types that Interface made, by the key of describeMethods.
var interfaces sync.Map

// describeMethods returns what an interface's String says, and a text that only identical interfaces have.
func describeMethods(methods []Method) (text, key string) {
	var said, id strings.Builder
	said.WriteString("interface {")
	for i, m := range methods {
		if i > 0 {
			said.WriteByte(';')
		}
		said.WriteByte(' ')
		if !token.IsExported(m.Name) {
			said.WriteString(m.PkgPath[strings.LastIndexByte(m.PkgPath, '/')+1:] + ".")
		}
		said.WriteString(m.Name + strings.TrimPrefix(m.Type.String(), "func"))
		fmt.Fprintf(&id, "%q %s %p;", m.key().pkgPath, m.Name, headerOf(m.Type))
	}
	said.WriteString(" }")
	return said.String(), id.String()
}

// describeInterface writes the part of an interface type's record that is its own.
func describeInterface(to *interfaceType, pkgPath string, methods []Method) error {
	to.pkgPath, to.methods = plainName(pkgPath), nil
	if len(methods) == 0 {
		return nil
	}
	methods, err := sorted("interface", methods)
	if err != nil {
		return err
	}
	list := make([]interfaceMethod, len(methods))
	keep(list)
	for i, m := range methods {
		list[i] = interfaceMethod{name: nameOffset(m.encodedName()), typ: typeOffset(headerOf(m.Type))}
	}
	to.methods = list
	return nil
}
