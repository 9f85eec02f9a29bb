package generate

import (
	"fmt"
	"strings"
)

// expr is an expression of type t, not constant, that changes nothing and does not panic.
func (g *generator) expr(t *typ, depth int) string {
	if depth <= 0 {
		return g.leaf(t)
	}
	if g.chance(12) {
		return fmt.Sprintf("pickOne(%s, %s, %s)", g.expr(boolType, depth-1), g.typed(t, depth-1), g.typed(t, depth-1))
	}
	if f, ok := g.callable(t); ok && g.loops == 0 && g.chance(10) {
		return g.call(f, depth-1)
	}
	switch t.kind {
	case intKind:
		return g.integer(t, depth)
	case floatKind:
		return g.float(t, depth)
	case stringKind:
		return g.text(depth)
	case boolKind:
		return g.condition(depth)
	}
	return g.leaf(t)
}

// typed is expr where the type must be certain to be t, as for the inference of type arguments.
func (g *generator) typed(t *typ, depth int) string {
	text := g.expr(t, depth)
	if t.kind == thingKind || t.kind == anyKind || t.kind == funcKind {
		return "(" + t.name + ")(" + text + ")"
	}
	return text
}

// leaf is a variable of type t, or something new.
func (g *generator) leaf(t *typ) string {
	if !g.chance(25) {
		if v, ok := g.variable(func(v variable) bool { return v.typ.name == t.name }); ok {
			return v.name
		}
		if text, ok := g.part(t); ok && g.chance(60) {
			return text
		}
	}
	return g.fresh(t)
}

// variable is one of those in scope that fit; newer ones are taken more often.
func (g *generator) variable(fits func(variable) bool) (variable, bool) {
	var found []variable
	for _, v := range g.scope {
		if fits(v) {
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		return variable{}, false
	}
	return found[max(g.rng.IntN(len(found)), g.rng.IntN(len(found)))], true
}

// part is a value of type t out of a variable that holds such.
func (g *generator) part(t *typ) (string, bool) {
	v, ok := g.variable(func(v variable) bool {
		switch v.typ.kind {
		case sliceKind, arrayKind, mapKind, boxKind, funcKind:
			return v.typ.elem.name == t.name && (v.typ.kind != funcKind || g.loops == 0)
		case structKind:
			return hasField(v.typ, t)
		case pointerKind:
			return hasField(v.typ.elem, t)
		case thingKind:
			return t == intType || t == stringType
		}
		return false
	})
	if !ok {
		return "", false
	}
	switch v.typ.kind {
	case sliceKind:
		return fmt.Sprintf("at(%s, %s)", v.name, g.leaf(intType)), true
	case arrayKind:
		return fmt.Sprintf("%s[%d]", v.name, g.rng.IntN(v.typ.length)), true
	case mapKind:
		return fmt.Sprintf("%s[%s]", v.name, g.leaf(v.typ.key)), true
	case boxKind:
		return v.name + pick(g, []string{".V", ".Get()"}), true
	case funcKind:
		return fmt.Sprintf("%s(%s)", v.name, g.leaf(v.typ.param)), true
	case thingKind:
		if t == intType {
			return "weigh(" + v.name + ")", true
		}
		return "called(" + v.name + ")", true
	}
	of := v.typ
	if of.kind == pointerKind {
		of = of.elem
	}
	var names []string
	for _, f := range of.fields {
		if f.typ.name == t.name {
			names = append(names, f.name)
		}
	}
	return v.name + "." + pick(g, names), true
}

func hasField(s, t *typ) bool {
	for _, f := range s.fields {
		if f.typ.name == t.name {
			return true
		}
	}
	return false
}

var words = []string{"", "a", "go", "é", "世界", "x y", "\xff", "tab\t", "0", "long enough to matter"}

// maxNesting bounds how deep literals stand in each other: structs hold things, and things are structs.
const maxNesting = 5

// fresh is a new value of type t.
func (g *generator) fresh(t *typ) string {
	g.nesting++
	defer func() { g.nesting-- }()
	if g.nesting > maxNesting {
		switch t.kind {
		case structKind, mapKind:
			return t.name + "{}"
		case thingKind, anyKind, sliceKind:
			return "(" + t.name + ")(nil)"
		}
	}
	switch t.kind {
	case intKind:
		return fmt.Sprintf("id(%s(%s))", t.name, g.intLiteral(t))
	case floatKind:
		return fmt.Sprintf("id(%s(%s))", t.name, pick(g, []string{"0", "1", "-1.5", "0.1", "1e10", "3.25", "-0.001", "16777217", "2.5e-8"}))
	case stringKind:
		return fmt.Sprintf("id(%q)", pick(g, words))
	case boolKind:
		return fmt.Sprintf("id(%t)", g.chance(50))
	case sliceKind, arrayKind:
		n := g.rng.IntN(4)
		if t.kind == arrayKind {
			n = t.length
		} else if n == 0 && g.chance(50) {
			return t.name + "(nil)"
		}
		return t.name + "{" + g.list(t.elem, n) + "}"
	case mapKind:
		var pairs []string
		for i := range g.rng.IntN(4) {
			pairs = append(pairs, fmt.Sprintf("%s: %s", g.distinct(t.key, i), g.leaf(t.elem)))
		}
		return t.name + "{" + strings.Join(pairs, ", ") + "}"
	case structKind:
		var values []string
		keyed := g.chance(60)
		for _, f := range t.fields {
			switch {
			case keyed && g.chance(30):
			case keyed:
				values = append(values, f.name+": "+g.leaf(f.typ))
			default:
				values = append(values, g.leaf(f.typ))
			}
		}
		return t.name + "{" + strings.Join(values, ", ") + "}"
	case pointerKind:
		return "&" + g.fresh(t.elem)
	case funcKind:
		return g.function(t)
	case thingKind:
		return g.fresh(pick(g, g.structs)) // a pointer would print as an address where it is nested
	case anyKind:
		return "any(" + g.leaf(g.shownTyp()) + ")"
	case boxKind:
		return "&" + strings.TrimPrefix(t.name, "*") + "{V: " + g.leaf(t.elem) + "}"
	}
	panic("no value for " + t.name)
}

// shownTyp is a type whose values print the same in every run.
func (g *generator) shownTyp() *typ {
	for {
		if t := g.anyTyp(1); t.printable() && t.kind != thingKind && t.kind != anyKind {
			return t
		}
	}
}

func (g *generator) list(t *typ, n int) string {
	values := make([]string, n)
	for i := range values {
		values[i] = g.leaf(t)
	}
	return strings.Join(values, ", ")
}

// distinct is a key that no other of the same literal is: the compiler refuses a constant one that is there twice.
func (g *generator) distinct(t *typ, i int) string {
	switch t.kind {
	case intKind:
		return fmt.Sprint(i * 3)
	case stringKind:
		return fmt.Sprintf("%q", fmt.Sprint("k", i))
	}
	return g.leaf(t)
}

func (g *generator) intLiteral(t *typ) string {
	switch g.rng.IntN(6) {
	case 0: // the ends
		if !t.signed {
			return fmt.Sprint(uint64(1)<<(t.bits-1) - 1 + uint64(1)<<(t.bits-1))
		}
		return pick(g, []string{fmt.Sprint(int64(-1) << (t.bits - 1)), fmt.Sprint(uint64(1)<<(t.bits-1) - 1)})
	case 1:
		if t.signed {
			return fmt.Sprint(-g.rng.IntN(100))
		}
	case 2:
		return fmt.Sprintf("%#x", g.rng.Uint64()>>(65-t.bits))
	}
	return fmt.Sprint(g.rng.IntN(20))
}

func (g *generator) integer(t *typ, depth int) string {
	x := func() string { return g.typed(t, depth-1) }
	switch g.rng.IntN(12) {
	case 0, 1, 2:
		return fmt.Sprintf("(%s %s %s)", x(), pick(g, []string{"+", "-", "*", "&", "|", "^", "&^"}), x())
	case 3:
		return fmt.Sprintf("(%s %s (%s | 1))", x(), pick(g, []string{"/", "%"}), x())
	case 4:
		return fmt.Sprintf("(%s %s (uint(%s) %% %d))", x(), pick(g, []string{"<<", ">>"}), g.expr(pick(g, integers), depth-1), pick(g, []int{4, 8, 33, 70}))
	case 5:
		return fmt.Sprintf("(%s %s %d)", x(), pick(g, []string{"<<", ">>", "+", "-", "*", "|"}), g.rng.IntN(8))
	case 6:
		return "(" + pick(g, []string{"-", "^", "+"}) + x() + ")"
	case 7:
		return fmt.Sprintf("%s(%s)", t.name, g.expr(pick(g, integers), depth-1))
	case 8:
		if g.chance(50) {
			return fmt.Sprintf("%s(whole(%s))", t.name, g.expr(pick(g, floats), depth-1))
		}
		return fmt.Sprintf("%s(len(%s))", t.name, g.expr(stringType, depth-1))
	case 9:
		return fmt.Sprintf("%s(%s, %s)", pick(g, []string{"min", "max"}), x(), x())
	case 10:
		return fmt.Sprintf("%s(%s, %s, %s)", pick(g, []string{"total", "least"}), x(), x(), x())
	}
	return g.leaf(t)
}

func (g *generator) float(t *typ, depth int) string {
	x := func() string { return g.typed(t, depth-1) }
	switch g.rng.IntN(7) {
	case 0, 1:
		return fmt.Sprintf("(%s %s %s)", x(), pick(g, []string{"+", "-", "/"}), x())
	case 2:
		return fmt.Sprintf("%s(%s * %s)", t.name, x(), x())
	case 3:
		return fmt.Sprintf("%s(%s)", t.name, g.expr(pick(g, append(integers, floats...)), depth-1))
	case 4:
		return fmt.Sprintf("(-%s)", x())
	case 5:
		return fmt.Sprintf("%s(%s, %s)", pick(g, []string{"min", "max", "total"}), x(), x())
	}
	return g.leaf(t)
}

func (g *generator) text(depth int) string {
	x := func() string { return g.expr(stringType, depth-1) }
	switch g.rng.IntN(8) {
	case 0, 1:
		return fmt.Sprintf("clipText(%s + %s)", x(), x())
	case 2:
		return fmt.Sprintf("strings.%s(%s)", pick(g, []string{"ToUpper", "TrimSpace", "ToLower"}), x())
	case 3:
		t := g.shownTyp()
		return fmt.Sprintf("clipText(fmt.Sprintf(%q, %s))", pick(g, []string{"%v", "%+v", "%T", "<%v>"}), g.typed(t, depth-1))
	case 4:
		return fmt.Sprintf("fmt.Sprint(%s)", g.expr(g.number(), depth-1))
	case 5:
		return fmt.Sprintf("string([]%s(%s))", pick(g, []string{"rune", "byte"}), x())
	case 6:
		return fmt.Sprintf("string(rune(%s))", g.expr(pick(g, integers), depth-1))
	}
	return g.leaf(stringType)
}

func (g *generator) condition(depth int) string {
	switch g.rng.IntN(7) {
	case 0, 1:
		t := g.number()
		return fmt.Sprintf("(%s %s %s)", g.typed(t, depth-1), pick(g, []string{"<", "<=", ">", ">=", "==", "!="}), g.typed(t, depth-1))
	case 2:
		return fmt.Sprintf("(%s %s %s)", g.expr(boolType, depth-1), pick(g, []string{"&&", "||", "!="}), g.expr(boolType, depth-1))
	case 3:
		return "!" + g.expr(boolType, depth-1)
	case 4:
		return fmt.Sprintf("(%s %s %s)", g.expr(stringType, depth-1), pick(g, []string{"<", "==", ">="}), g.expr(stringType, depth-1))
	case 5:
		if len(g.structs) > 0 {
			if s := pick(g, g.structs); s.comparable() {
				return fmt.Sprintf("(%s == (%s))", g.bracket(s), g.bracket(s))
			}
		}
		t := g.anyTyp(1)
		if t.comparable() {
			return fmt.Sprintf("(any(%s) == any(%s))", g.typed(t, 1), g.typed(t, 1))
		}
	}
	return g.leaf(boolType)
}

// bracket is a leaf that may stand in a condition.
func (g *generator) bracket(t *typ) string { return "(" + g.leaf(t) + ")" }

// function is a literal of function type t; it captures what is in scope, and only reads it.
func (g *generator) function(t *typ) string {
	param := g.name("p")
	variables := len(g.scope)
	g.scope = append(g.scope, variable{param, t.param, false})
	g.loops++ // keeps calls out: the function may be called in a loop
	body := g.expr(t.elem, 2)
	g.loops--
	g.scope = g.scope[:variables]
	return fmt.Sprintf("func(%s %s) %s { return %s }", param, t.param.name, t.elem.name, body)
}

// callable is a function of lower level that returns a t.
func (g *generator) callable(t *typ) (function, bool) {
	var found []function
	for _, f := range g.funcs {
		if f.level < g.level && f.result.name == t.name {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return function{}, false
	}
	return pick(g, found), true
}

func (g *generator) call(f function, depth int) string {
	args := "t"
	for _, p := range f.params {
		args += ", " + g.expr(p, depth)
	}
	return f.name + "(" + args + ")"
}
