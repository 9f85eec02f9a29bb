package generate

import (
	"fmt"
	"strings"
)

type kind int

const (
	intKind kind = iota
	floatKind
	stringKind
	boolKind
	sliceKind
	arrayKind
	mapKind
	structKind
	pointerKind // to a struct
	funcKind    // of one parameter and one result
	thingKind   // the interface that all structs implement
	anyKind
	boxKind // a pointer to a generic struct
)

// typ is a type that values of a program have.
type typ struct {
	kind   kind
	name   string // as it is written
	bits   int    // of a number
	signed bool
	length int  // of an array
	elem   *typ // of slices, arrays, maps, pointers, boxes; the result of a function
	key    *typ // of maps
	param  *typ // of functions
	fields []field
}

type field struct {
	name string
	typ  *typ
}

var (
	intType    = &typ{kind: intKind, name: "int", bits: 64, signed: true}
	float64Typ = &typ{kind: floatKind, name: "float64", bits: 64}
	stringType = &typ{kind: stringKind, name: "string"}
	boolType   = &typ{kind: boolKind, name: "bool"}
	thingType  = &typ{kind: thingKind, name: "thing"}
	anyType    = &typ{kind: anyKind, name: "any"}
)

var integers = []*typ{
	intType,
	{kind: intKind, name: "int8", bits: 8, signed: true},
	{kind: intKind, name: "int16", bits: 16, signed: true},
	{kind: intKind, name: "int32", bits: 32, signed: true},
	{kind: intKind, name: "int64", bits: 64, signed: true},
	{kind: intKind, name: "uint", bits: 64},
	{kind: intKind, name: "uint8", bits: 8},
	{kind: intKind, name: "uint16", bits: 16},
	{kind: intKind, name: "uint32", bits: 32},
	{kind: intKind, name: "uint64", bits: 64},
}

var floats = []*typ{float64Typ, {kind: floatKind, name: "float32", bits: 32}}

// isNumber tells whether t has arithmetic.
func (t *typ) isNumber() bool { return t.kind == intKind || t.kind == floatKind }

// comparable tells whether == works and is certain: no floats, which may be NaN, and no interfaces, which may panic.
func (t *typ) comparable() bool {
	switch t.kind {
	case intKind, stringKind, boolKind:
		return true
	case arrayKind:
		return t.elem.comparable()
	case structKind:
		for _, f := range t.fields {
			if !f.typ.comparable() {
				return false
			}
		}
		return true
	}
	return false
}

// basic is a type with literals: a number, a string or a bool, maybe with a name of the program's own.
func (g *generator) basic() *typ {
	switch n := g.rng.IntN(100); {
	case n < 50:
		return pick(g, integers)
	case n < 65:
		return pick(g, floats)
	case n < 80:
		return stringType
	case n < 90 || len(g.named) == 0:
		return boolType
	}
	return pick(g, g.named)
}

// number is an integer or float type.
func (g *generator) number() *typ {
	for {
		if t := g.basic(); t.isNumber() {
			return t
		}
	}
}

// keyType is a type for the keys of maps.
func (g *generator) keyType() *typ {
	for {
		t := g.basic()
		if g.chance(15) && len(g.structs) > 0 {
			t = pick(g, g.structs)
		}
		if t.comparable() {
			return t
		}
	}
}

// anyTyp is any of the types, composed down to depth.
func (g *generator) anyTyp(depth int) *typ {
	if depth <= 0 || g.chance(40) {
		return g.basic()
	}
	switch n := g.rng.IntN(100); {
	case n < 22:
		return slice(g.anyTyp(depth - 1))
	case n < 32:
		elem, length := g.anyTyp(depth-1), 1+g.rng.IntN(3)
		if elem.kind == funcKind || elem.kind == boxKind || elem.kind == pointerKind {
			elem = intType
		}
		return &typ{kind: arrayKind, name: fmt.Sprintf("[%d]%s", length, elem.name), elem: elem, length: length}
	case n < 47:
		key, elem := g.keyType(), g.anyTyp(depth-1)
		if !elem.printable() {
			elem = intType
		}
		return &typ{kind: mapKind, name: "map[" + key.name + "]" + elem.name, key: key, elem: elem}
	case n < 62 && len(g.structs) > 0:
		return pick(g, g.structs)
	case n < 70 && len(g.structs) > 0:
		return pointer(pick(g, g.structs))
	case n < 78:
		param, result := g.basic(), g.basic()
		return &typ{kind: funcKind, name: "func(" + param.name + ") " + result.name, param: param, elem: result}
	case n < 85 && len(g.structs) > 0:
		return thingType
	case n < 92:
		return anyType
	}
	elem := g.basic()
	return &typ{kind: boxKind, name: "*box[" + elem.name + "]", elem: elem}
}

func slice(elem *typ) *typ {
	if !elem.printable() {
		elem = intType
	}
	return &typ{kind: sliceKind, name: "[]" + elem.name, elem: elem}
}

func pointer(elem *typ) *typ {
	return &typ{kind: pointerKind, name: "*" + elem.name, elem: elem}
}

// printable tells whether fmt prints values of t without addresses.
func (t *typ) printable() bool {
	return t.kind != funcKind && t.kind != pointerKind && t.kind != boxKind
}

// declareTypes declares named basic types, with methods, and structs, which embed each other and are things.
func (g *generator) declareTypes() {
	for range 1 + g.rng.IntN(2) {
		of := g.number()
		for strings.HasPrefix(of.name, "N") {
			of = g.number()
		}
		named := *of
		named.name = g.name("N")
		g.b.WriteString("\n")
		g.line("type %s %s", named.name, of.name)
		g.line("")
		if g.chance(50) {
			g.line(`func (n %s) String() string { return fmt.Sprintf("%s<%%v>", %s(n)) }`, named.name, strings.ToLower(named.name), of.name)
		}
		g.line("func (n *%s) Grow(by %s) { *n += by }", named.name, named.name)
		g.named = append(g.named, &named)
	}
	for range 2 + g.rng.IntN(3) {
		s := &typ{kind: structKind, name: g.name("S")}
		var embedded *typ
		g.b.WriteString("\n")
		g.block("type "+s.name+" struct", func() {
			if len(g.structs) > 0 && g.chance(50) {
				embedded = pick(g, g.structs)
				g.line("%s", embedded.name)
				s.fields = append(s.fields, field{embedded.name, embedded})
			}
			for range 1 + g.rng.IntN(4) {
				f := field{g.name(pick(g, []string{"F", "f"})), g.anyTyp(2)}
				if !f.typ.printable() || f.typ.kind == anyKind && g.chance(50) {
					f.typ = g.basic()
				}
				g.line("%s %s", f.name, f.typ.name)
				s.fields = append(s.fields, f)
			}
		})
		g.line("")
		n := 0
		for _, f := range s.fields {
			if f.typ.kind == intKind {
				n++
			}
		}
		if embedded == nil || g.chance(60) {
			g.line("func (s %s) Weight() int { return %s }", s.name, g.weight(s, "s"))
		}
		if embedded == nil || g.chance(60) {
			g.line("func (s %s) Name() string { return %q }", s.name, s.name)
		}
		if g.chance(30) {
			g.line(`func (s %s) String() string { return fmt.Sprint("%s with ", s.Weight()) }`, s.name, s.name)
		}
		var own *field
		for i := range s.fields {
			if f := &s.fields[i]; f.typ.isNumber() {
				own = f
			}
		}
		if own != nil {
			g.line("func (s *%s) Bump() { s.%s++ }", s.name, own.name)
		} else {
			g.line("func (s *%s) Bump() {}", s.name)
		}
		g.structs = append(g.structs, s)
	}
}

// weight is an int made of a struct's fields.
func (g *generator) weight(s *typ, of string) string {
	sum := fmt.Sprint(g.rng.IntN(100))
	for _, f := range s.fields {
		at := of + "." + f.name
		switch f.typ.kind {
		case intKind:
			sum += " + int(" + at + ")"
		case floatKind:
			sum += " + whole(" + at + ")"
		case stringKind, sliceKind, mapKind:
			sum += " + len(" + at + ")"
		case structKind:
			sum += " + " + at + ".Weight()"
		}
	}
	return sum
}

// declareGlobals declares variables that depend on each other in no particular order. Nothing assigns to them later.
func (g *generator) declareGlobals() {
	var lines []string
	for range 2 + g.rng.IntN(4) {
		t := g.anyTyp(1)
		if t.kind == funcKind || t.kind == boxKind {
			t = g.number()
		}
		name := g.name("global")
		lines = append(lines, fmt.Sprintf("var %s %s = %s", name, t.name, g.expr(t, 2)))
		g.scope = append(g.scope, variable{name, t, true})
	}
	g.rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	g.b.WriteString("\n")
	for _, l := range lines {
		g.line("%s", l)
	}
}
