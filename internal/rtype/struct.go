package rtype

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unsafe"
)

// Field is one field of a struct type.
type Field struct {
	Name     string // of an embedded field: its type's name
	PkgPath  string // the package that an unexported or blank name belongs to; "" if it is exported
	Type     reflect.Type
	Tag      string
	Embedded bool
}

// Struct makes an unnamed struct type. It is reflect.StructOf without its limits: any type can be embedded, with
// methods or without, and unexported names too; == leaves blank fields out, as it must. A struct with neither is made
// by reflect.StructOf, so that it is identical to the same one in compiled code. value and pointer are the methods
// that a struct with embedded fields has, itself and behind a pointer; pointer includes those of value. SetMethods
// can put new code behind them. Without methods, the same fields give the same type.
func Struct(fields []Field, value, pointer []Method) (reflect.Type, error) {
	shape, plain, err := structShape(fields)
	if err != nil {
		return nil, err
	}
	if plain && len(pointer) == 0 {
		return shape, nil
	}
	if len(value) > 0 || len(pointer) > 0 {
		t, setMethods, err := StructLater(fields)
		if err == nil {
			err = setMethods(value, pointer)
		}
		return t, err
	}
	text, key := describeFields(fields)
	if t, ok := structs.Load(key); ok {
		return t.(reflect.Type), nil
	}
	t, _ := structs.LoadOrStore(key, typeOf(describeStruct(shape, fields, text)))
	return t.(reflect.Type), nil
}

// StructLater is Struct for a type whose methods may mention it: they are given by a function, which must be called
// once, before a value of the type meets an interface.
func StructLater(fields []Field) (t reflect.Type, setMethods func(value, pointer []Method) error, err error) {
	shape, _, err := structShape(fields)
	if err != nil {
		return nil, nil, err
	}
	text, _ := describeFields(fields)
	h := describeStruct(shape, fields, text)
	behind := newPointer(h, text)
	return typeOf(h), func(value, pointer []Method) error {
		if len(value) > 0 {
			h.flags |= hasMethods
			if err := install(h, "", value); err != nil {
				return err
			}
		}
		return install(behind, "", pointer)
	}, nil
}

// describeStruct writes the record of a struct type with the layout of shape.
func describeStruct(shape reflect.Type, fields []Field, text string) *header {
	h := newHeader(unsafe.Sizeof(structType{}) + unsafe.Sizeof(methodTable{}))
	*h = *headerOf(shape)
	h.flags &= lazyMask | direct | plainBytes
	h.text = nameOffset(plainName(text))
	h.hash = newHash(text)
	h.pointerTo = 0
	s := h.asStruct()
	s.fields = make([]structField, len(fields))
	keep(s.fields)
	for i, f := range fields {
		n := makeName(nameKey{text: f.Name, tag: f.Tag, embedded: f.Embedded})
		s.fields[i] = structField{name: n, typ: headerOf(f.Type), offset: shape.Field(i).Offset}
		if f.PkgPath != "" {
			s.pkgPath = plainName(f.PkgPath)
		}
		if f.Name == "_" {
			h.flags &^= plainBytes
		}
	}
	if h.equal != nil {
		h.equal = equalFields(s.fields)
		keep(h.equal)
	}
	return h
}

// structs has the types without methods that Struct made, by the key of describeFields.
var structs sync.Map

// structShape returns the struct that reflect can make with these fields. Where that is the very type that is meant,
// plain is true; else it has the same layout, under other names.
func structShape(fields []Field) (shape reflect.Type, plain bool, err error) {
	defer func() {
		switch complaint := recover().(type) { // reflect tells what is wrong with fields by a panic
		case nil:
		case string:
			err = fmt.Errorf("build struct: %s", complaint)
		default:
			panic(complaint)
		}
	}()
	plain = true
	list := make([]reflect.StructField, len(fields))
	pkgPath := ""
	for i, f := range fields {
		if f.Type == nil || f.Name == "" {
			return nil, false, fmt.Errorf("build struct: field %d has no name or no type", i)
		}
		if f.PkgPath != "" {
			if pkgPath != "" && f.PkgPath != pkgPath {
				return nil, false, fmt.Errorf("build struct: fields %s belong to packages %s and %s", f.Name, pkgPath, f.PkgPath)
			}
			pkgPath = f.PkgPath
		}
		if f.Name == "_" || f.Embedded {
			plain = false
		}
		list[i] = reflect.StructField{Name: f.Name, PkgPath: f.PkgPath, Type: f.Type, Tag: reflect.StructTag(f.Tag), Anonymous: f.Embedded}
	}
	if !plain {
		for i := range list {
			list[i] = reflect.StructField{Name: "F" + strconv.Itoa(i), Type: list[i].Type}
		}
	}
	return reflect.StructOf(list), plain, nil
}

// equalFields compares structs field by field, blank ones left out.
func equalFields(fields []structField) equality {
	return func(p, q unsafe.Pointer) bool {
		for i := range fields {
			f := &fields[i]
			if f.name.String() != "_" && !f.typ.equal(unsafe.Add(p, f.offset), unsafe.Add(q, f.offset)) {
				return false
			}
		}
		return true
	}
}

// describeFields returns what a struct's String says, and a text that only identical structs have.
func describeFields(fields []Field) (text, key string) {
	var said, id strings.Builder
	said.WriteString("struct {")
	for i, f := range fields {
		if i > 0 {
			said.WriteByte(';')
		}
		if !f.Embedded {
			said.WriteString(" " + f.Name)
		}
		said.WriteString(" " + f.Type.String())
		if f.Tag != "" {
			said.WriteString(" " + strconv.Quote(f.Tag))
		}
		fmt.Fprintf(&id, "%s %q %p %q %t;", f.Name, f.PkgPath, headerOf(f.Type), f.Tag, f.Embedded)
	}
	if len(fields) > 0 {
		said.WriteByte(' ')
	}
	said.WriteByte('}')
	return said.String(), id.String()
}
