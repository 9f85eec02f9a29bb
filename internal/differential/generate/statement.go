package generate

import "fmt"

// declareFunction declares a function that calls those of lower levels only.
func (g *generator) declareFunction(level int) {
	f := function{name: g.name("fun"), level: level, result: g.anyTyp(1)}
	if !f.result.printable() {
		f.result = g.basic()
	}
	g.level = level
	globals := len(g.scope)
	params := "t *trace"
	for range g.rng.IntN(4) {
		v := variable{g.name("p"), g.anyTyp(1), false}
		if v.typ.kind == anyKind {
			v.typ = g.basic()
		}
		params += ", " + v.name + " " + v.typ.name
		f.params = append(f.params, v.typ)
		g.scope = append(g.scope, v)
	}
	g.inFunc = &f
	g.b.WriteString("\n")
	g.block(fmt.Sprintf("func %s(%s) (r %s)", f.name, params, f.result.name), func() {
		g.line("_ = t")
		if g.chance(30) {
			g.line("defer func() { t.say(%q, recover() != nil) }()", f.name+" %v")
		}
		g.scope = append(g.scope, variable{"r", f.result, false})
		for range 2 + g.rng.IntN(4) {
			g.statement()
		}
		g.line("return %s", g.expr(f.result, 2))
	})
	g.inFunc = nil
	g.scope = g.scope[:globals]
	g.funcs = append(g.funcs, f)
}

const (
	maxDepth = 4 // of blocks
	maxLoops = 2 // around each other
)

// statement writes one statement, which may declare a variable.
func (g *generator) statement() {
	deep := g.depth > maxDepth
	for {
		switch n := g.rng.IntN(100); {
		case n < 24:
			g.declare()
		case n < 44:
			g.assign()
		case n < 50:
			g.line(`t.say("%s", %s)`, pick(g, []string{"%v", "%+v", "is %v"}), g.sayable())
		case n < 53:
			g.deferred()
		case n < 58 && !deep:
			g.try()
		case n < 66 && !deep:
			g.conditional()
		case n < 82 && !deep && g.loops < maxLoops:
			g.loop()
		case n < 88 && !deep:
			g.switches()
		case n < 91 && !deep:
			g.typeSwitch()
		case n < 94 && len(g.labels) > 0:
			g.line("if %s {", g.expr(boolType, 1))
			g.line("\t%s", pick(g, g.labels))
			g.line("}")
		case n < 96 && g.inFunc != nil && g.depth > 1:
			g.line("if %s {", g.expr(boolType, 2))
			g.line("\treturn %s", g.expr(g.inFunc.result, 1))
			g.line("}")
		case n < 100 && !deep:
			g.closures()
		default:
			continue
		}
		return
	}
}

func (g *generator) sayable() string {
	t := g.shownTyp()
	return g.expr(t, 2)
}

func (g *generator) declare() {
	t := g.anyTyp(2)
	v := variable{g.name("v"), t, false}
	switch {
	case g.chance(15) && t.printable() && t.kind != thingKind && t.kind != anyKind:
		g.line("var %s %s", v.name, t.name)
	case g.chance(50) || t.kind == thingKind || t.kind == anyKind || t.kind == sliceKind:
		g.line("var %s %s = %s", v.name, t.name, g.expr(t, 2))
	default:
		g.line("%s := %s", v.name, g.expr(t, 2))
	}
	g.line("_ = %s", v.name)
	g.scope = append(g.scope, v)
}

// assign changes a variable, or what it holds.
func (g *generator) assign() {
	v, ok := g.variable(func(v variable) bool { return !v.frozen })
	if !ok {
		g.declare()
		return
	}
	switch v.typ.kind {
	case intKind:
		g.line("%s %s %s", v.name, pick(g, []string{"=", "+=", "-=", "*=", "^=", "|=", "&="}), g.expr(v.typ, 2))
		if g.chance(20) {
			g.line("%s%s", v.name, pick(g, []string{"++", "--"}))
		}
	case floatKind:
		g.line("%s %s %s", v.name, pick(g, []string{"=", "+=", "-=", "/="}), g.expr(v.typ, 2))
	case stringKind:
		g.line("%s = clipText(%s + %s)", v.name, v.name, g.expr(stringType, 2))
	case sliceKind:
		switch g.rng.IntN(4) {
		case 0:
			g.line("%s = %s", v.name, g.expr(v.typ, 1))
		case 1:
			g.line("%s = clip(append(%s, %s))", v.name, v.name, g.list(v.typ.elem, 1+g.rng.IntN(2)))
		case 2:
			g.block(fmt.Sprintf("if len(%s) > 0", v.name), func() {
				g.line("%s[%d%%len(%s)] = %s", v.name, g.rng.IntN(9), v.name, g.expr(v.typ.elem, 1))
			})
		case 3:
			g.line("%s = %s[:len(%s)/2:len(%s)]", v.name, v.name, v.name, v.name)
		}
	case arrayKind:
		g.line("%s[%d] = %s", v.name, g.rng.IntN(v.typ.length), g.expr(v.typ.elem, 2))
	case mapKind:
		switch {
		case g.chance(20):
			g.line("delete(%s, %s)", v.name, g.expr(v.typ.key, 1))
		case v.typ.elem.isNumber() && g.chance(60):
			g.block(fmt.Sprintf("if %s != nil", v.name), func() { g.line("%s[%s] += %s", v.name, g.expr(v.typ.key, 1), g.expr(v.typ.elem, 1)) })
		default:
			g.block(fmt.Sprintf("if %s != nil && len(%s) < 12", v.name, v.name), func() { g.line("%s[%s] = %s", v.name, g.expr(v.typ.key, 1), g.expr(v.typ.elem, 1)) })
		}
	case structKind, pointerKind:
		s := v.typ
		if s.kind == pointerKind {
			s = s.elem
		}
		if g.chance(25) {
			g.line("%s.Bump()", v.name)
			return
		}
		f := pick(g, s.fields)
		g.line("%s.%s = %s", v.name, f.name, g.expr(f.typ, 2))
	case boxKind:
		g.line("if n := len(slices.Collect(%s.All())); n < 6 {", v.name)
		g.line("\t%s.Put(%s)", v.name, g.expr(v.typ.elem, 1))
		g.line("}")
	default:
		g.line("%s = %s", v.name, g.expr(v.typ, 2))
	}
}

func (g *generator) deferred() {
	if g.loops > 0 {
		g.declare() // a defer a turn is right, but makes much output
		return
	}
	if g.chance(50) {
		g.line(`defer t.say("deferred %%v", %s)`, g.sayable())
		return
	}
	g.block("defer func()", func() {
		g.inner(func() {
			g.line(`t.say("in deferred %%v", %s)`, g.sayable())
			g.assign()
		})
	})
	g.b.WriteString("") // the call follows
	g.patch("()")
}

// patch appends text to the last line written.
func (g *generator) patch(text string) {
	written := g.b.String()
	g.b.Reset()
	g.b.WriteString(written[:len(written)-1] + text + "\n")
}

// inner is body as that of a function literal: neither return values nor labels of the function around it are its own.
func (g *generator) inner(body func()) {
	f, labels := g.inFunc, g.labels
	g.inFunc, g.labels = nil, nil
	body()
	g.inFunc, g.labels = f, labels
}

var accidents = []string{
	`panic("oh")`,
	`panic(&failure{7})`,
	`panic(fmt.Errorf("wrapped: %w", &failure{8}))`,
	`var m map[string]int; m["a"] = 1`,
	`var p *box[int]; p.V++`,
	`var x any = "text"; _ = x.(int)`,
	`var x thing; x.Name()`,
	`xs := []int{1, 2}; i := id(5); xs[i]++`,
	`n := id(0); _ = 10 / n`,
	`xs := id([]int{1}); _ = xs[id(2):]`,
	`var f func(); f()`,
	`c := make(chan int); close(c); close(c)`,
	`defer func() { panic("second") }(); panic("first")`,
	`defer func() { r := recover(); panic(fmt.Sprint("again ", r)) }(); panic("once")`,
	`defer func() { defer func() { t.say("inner %v", recover()) }(); panic("two") }(); t.say("before")`,
}

func (g *generator) try() {
	g.block(fmt.Sprintf("t.try(%q, func()", g.name("try")), func() {
		g.inner(func() {
			for range 1 + g.rng.IntN(2) {
				g.statement()
			}
			if g.chance(70) {
				g.block("if "+g.expr(boolType, 2), func() { g.line("%s", pick(g, accidents)) })
			}
		})
	})
	g.patch(")")
}

func (g *generator) body() {
	for range 1 + g.rng.IntN(3) {
		g.statement()
	}
}

func (g *generator) conditional() {
	head := "if " + g.expr(boolType, 2)
	if g.chance(25) {
		t := g.number()
		name := g.name("c")
		head = fmt.Sprintf("if %s := %s; %s > %s", name, g.expr(t, 2), name, g.expr(t, 1))
	}
	if g.chance(50) {
		g.block(head, g.body)
		return
	}
	g.line("%s {", head)
	g.inside(g.body)
	if g.chance(40) {
		g.line("} else if %s {", g.expr(boolType, 2))
		g.inside(g.body)
	}
	g.line("} else {")
	g.inside(g.body)
	g.line("}")
}

// loop writes a loop of few turns, with a label where something inside may use it.
func (g *generator) loop() {
	i, x := g.name("i"), g.name("x")
	turns := 1 + g.rng.IntN(4)
	var head string
	var declared []variable
	index := variable{i, intType, true}
	switch g.rng.IntN(9) {
	case 0, 1:
		head = fmt.Sprintf("for %s := 0; %s < %d; %s++", i, i, turns, i)
		declared = []variable{index}
	case 2:
		t := pick(g, integers)
		head = fmt.Sprintf("for %s := range %s(%d)", i, t.name, turns)
		declared = []variable{{i, t, false}}
	case 3, 4:
		if v, ok := g.variable(func(v variable) bool { return v.typ.kind == sliceKind || v.typ.kind == arrayKind }); ok {
			head = fmt.Sprintf("for %s, %s := range %s", i, x, v.name)
			declared = []variable{index, {x, v.typ.elem, false}}
			break
		}
		fallthrough
	case 5:
		head = fmt.Sprintf("for %s, %s := range clipText(%s)", i, x, g.expr(stringType, 1))
		declared = []variable{index, {x, &typ{kind: intKind, name: "int32", bits: 32, signed: true}, false}}
	case 6:
		head = fmt.Sprintf("for %s := range upto(%d)", i, turns)
		declared = []variable{{i, intType, false}}
	case 7:
		if v, ok := g.variable(func(v variable) bool { return v.typ.kind == boxKind }); ok {
			head = fmt.Sprintf("for %s := range %s.All()", x, v.name)
			declared = []variable{{x, v.typ.elem, false}}
			break
		}
		t := g.basic()
		head = fmt.Sprintf("for %s, %s := range pairs([]%s{%s})", i, x, t.name, g.list(t, turns))
		declared = []variable{index, {x, t, false}}
	case 8:
		g.sumMap()
		return
	}
	label := g.name("L")
	g.b.WriteString(label + ":\n")
	g.loops++
	g.block(head, func() {
		g.scope = append(g.scope, declared...)
		for _, v := range declared {
			g.line("_ = %s", v.name)
		}
		g.labels = append(g.labels, "continue "+label, "break "+label)
		g.body()
		if g.chance(50) {
			g.line(`t.say("turn %%v", %s)`, g.expr(declared[0].typ, 1))
		}
		g.line("if %s {", g.expr(boolType, 1))
		g.line("\tcontinue %s", label) // so that the label is used
		g.line("}")
	})
	g.loops--
}

// sumMap ranges over a map, in whose order there is none.
func (g *generator) sumMap() {
	v, ok := g.variable(func(v variable) bool { return v.typ.kind == mapKind })
	if !ok {
		g.declare()
		return
	}
	sum := variable{g.name("sum"), intType, false}
	g.line("%s := 0", sum.name)
	g.block(fmt.Sprintf("for k, x := range %s", v.name), func() {
		g.line("%s += len(fmt.Sprint(k, x))", sum.name)
		if g.chance(30) {
			g.line("delete(%s, k)", v.name)
		}
	})
	g.scope = append(g.scope, sum)
}

func (g *generator) switches() {
	if g.chance(40) {
		g.line("switch {")
		for range 1 + g.rng.IntN(3) {
			g.line("case %s:", g.expr(boolType, 2))
			g.inside(g.body)
		}
	} else {
		t := pick(g, integers)
		g.line("switch %s {", g.expr(t, 2))
		for i := range 1 + g.rng.IntN(3) {
			g.line("case %d, %s:", i, g.fresh(t))
			g.inside(g.body)
			if g.chance(25) {
				g.line("\tfallthrough")
				g.line("case %d:", 50+i)
				g.inside(g.body)
			}
		}
	}
	if g.chance(70) {
		g.line("default:")
		g.inside(g.body)
	}
	g.line("}")
}

func (g *generator) typeSwitch() {
	name := g.name("y")
	g.line("switch %s := any(%s).(type) {", name, g.typed(g.anyTyp(1), 1))
	seen := map[string]bool{}
	for range 3 {
		t := g.anyTyp(1)
		if seen[t.name] || t.kind == anyKind || t.kind == thingKind {
			continue
		}
		seen[t.name] = true
		g.line("case %s:", t.name)
		g.inside(func() {
			v := variable{name, t, false}
			g.line("_ = %s", name)
			g.scope = append(g.scope, v)
			g.body()
		})
	}
	g.line("case thing:")
	g.line(`	t.say("thing %%s %%d", %s.Name(), %s.Weight())`, name, name)
	g.line("case fmt.Stringer:")
	g.line(`	t.say("stringer %%s", %s)`, name)
	g.line("default:")
	g.line(`	t.say("other %%T", %s)`, name)
	g.line("}")
}

// closures makes functions in a loop that share and keep variables, and calls them.
func (g *generator) closures() {
	fs, i := g.name("fs"), g.name("i")
	if v, ok := g.variable(func(v variable) bool { return v.typ.kind == intKind && !v.frozen }); ok && g.loops == 0 {
		g.line("var %s []func() %s", fs, v.typ.name)
		g.block(fmt.Sprintf("for %s := 0; %s < %d; %s++", i, i, 2+g.rng.IntN(3), i), func() {
			g.line("own := %s(%s)", v.typ.name, i)
			g.block(fmt.Sprintf("%s = append(%s, func() %s", fs, fs, v.typ.name), func() {
				g.line("%s += own", v.name)
				g.line("own = own*2 + %s(%s)", v.typ.name, i)
				g.line("return %s + own", v.name)
			})
			g.patch(")")
		})
		g.block(fmt.Sprintf("for _, f := range append(%s, %s...)", fs, fs), func() {
			g.line("got := f()")
			g.line(`t.say("closure %%v %%v", got, %s)`, v.name)
		})
		return
	}
	g.declare()
}
