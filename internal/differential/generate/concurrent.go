package generate

import "fmt"

// concurrent writes a way in which goroutines meet. What comes out does not depend on who is first.
func (g *generator) concurrent() {
	pick(g, []func(){g.fanOut, g.workers, g.counters, g.pipeline, g.selecting, g.requests, g.failing})()
}

// pure is an expression of type t for goroutines that run at the same time: it reads what is in scope and changes nothing.
func (g *generator) pure(t *typ, declared ...variable) string {
	variables := len(g.scope)
	g.scope = append(g.scope, declared...)
	g.loops++ // no calls: they would write to this trace
	defer func() { g.scope, g.loops = g.scope[:variables], g.loops-1 }()
	return g.expr(t, 3)
}

// fanOut starts a goroutine a turn, each with a trace and a place of its own.
func (g *generator) fanOut() {
	t := g.shownTyp()
	n := 2 + g.rng.IntN(6)
	i := variable{g.name("i"), intType, true}
	out := variable{g.name("out"), slice(t), false}
	g.line("%s := make([]%s, %d)", out.name, t.name, n)
	g.line("{")
	g.inside(func() {
		g.line("var wg sync.WaitGroup")
		g.line("traces := make([]trace, %d)", n)
		head, start, end := fmt.Sprintf("for %s := 0; %s < %d; %s++", i.name, i.name, n, i.name), "wg.Go(func()", ")"
		if g.chance(40) {
			head = fmt.Sprintf("for %s := range %d", i.name, n)
		}
		byHand := g.chance(40)
		if byHand {
			start, end = "go func()", "()"
		}
		g.block(head, func() {
			if byHand {
				g.line("wg.Add(1)")
			}
			g.block(start, func() {
				if byHand {
					g.line("defer wg.Done()")
				}
				g.line("t := &traces[%s]", i.name)
				own := variable{g.name("own"), pick(g, integers), false}
				g.line("%s := %s(%s)", own.name, own.typ.name, i.name)
				g.block(fmt.Sprintf("for range %d", 1+g.rng.IntN(4)), func() {
					g.line("%s += %s", own.name, g.pure(own.typ, i, own))
				})
				if f, ok := g.pureCall(); ok {
					g.line(`t.say("call %%v", %s)`, f)
				}
				g.line("%s[%s] = %s", out.name, i.name, g.pure(t, i, own))
				g.line(`t.say("own %%v", %s)`, own.name)
			})
			g.patch(end)
		})
		g.line("wg.Wait()")
		g.block("for i := range traces", func() { g.line("t.lines = append(t.lines, traces[i].lines...)") })
	})
	g.line("}")
	g.line(`t.say("fan %%v", %s)`, out.name)
	g.scope = append(g.scope, out)
}

// pureCall is a call of a function whose arguments are new values, so that nothing is shared.
func (g *generator) pureCall() (string, bool) {
	if len(g.funcs) == 0 {
		return "", false
	}
	f := pick(g, g.funcs)
	if !f.result.printable() || f.level > 0 {
		return "", false
	}
	args := "t"
	variables := g.scope
	g.scope = nil
	for _, p := range f.params {
		args += ", " + g.fresh(p)
	}
	g.scope = variables
	return f.name + "(" + args + ")", true
}

// workers share a channel of jobs and one of results, which are put in order.
func (g *generator) workers() {
	in, out := g.basic(), g.number()
	job, n := variable{g.name("job"), in, false}, 3+g.rng.IntN(10)
	results := variable{g.name("results"), slice(out), false}
	g.line("%s := make([]%s, %d)", results.name, out.name, n)
	g.block("func()", func() {
		g.line("type task struct { i int; %s %s }", job.name, in.name)
		g.line("tasks := make(chan task%s)", pick(g, []string{"", ", 1", ", 4"}))
		g.line("type result struct { i int; v %s }", out.name)
		g.line("done := make(chan result%s)", pick(g, []string{"", ", 2"}))
		g.line("var wg sync.WaitGroup")
		g.block(fmt.Sprintf("for range %d", 1+g.rng.IntN(4)), func() {
			g.block("wg.Go(func()", func() {
				g.block("for task := range tasks", func() {
					g.line("%s := task.%s", job.name, job.name)
					g.line("_ = %s", job.name)
					g.line("done <- result{task.i, %s}", g.pure(out, job))
				})
			})
			g.patch(")")
		})
		g.block("go func()", func() {
			g.line("xs := []%s{%s}", in.name, g.list(in, 3))
			g.line("for i := range %d {", n)
			g.line("\ttasks <- task{i, xs[i%%3]}")
			g.line("}")
			g.line("close(tasks)")
			g.line("wg.Wait()")
			g.line("close(done)")
		})
		g.patch("()")
		g.block("for r := range done", func() { g.line("%s[r.i] = r.v", results.name) })
	})
	g.patch("()")
	g.line(`t.say("workers %%v", %s)`, results.name)
	g.scope = append(g.scope, results)
}

// counters add up, under a lock, atomically, and by channel.
func (g *generator) counters() {
	t := pick(g, integers)
	n, turns := 2+g.rng.IntN(5), 1+g.rng.IntN(10)
	g.line("{")
	g.inside(func() {
		g.line("var wg sync.WaitGroup")
		g.line("var shared struct { %s; n %s; m map[int]int }", pick(g, []string{"sync.Mutex", "sync.RWMutex"}), t.name)
		g.line("shared.m = map[int]int{}")
		g.line("var count atomic.Int64")
		g.line("var box atomic.Pointer[box[int]]")
		g.line("sums := make(chan %s, %d)", t.name, n)
		i := variable{"i", intType, true}
		g.block(fmt.Sprintf("for i := range %d", n), func() {
			g.block("wg.Go(func()", func() {
				g.line("var sum %s", t.name)
				g.block(fmt.Sprintf("for range %d", turns), func() {
					g.line("shared.Lock()")
					g.line("shared.n += %s(i) + 1", t.name)
					g.line("shared.m[i%%2]++")
					g.line("shared.Unlock()")
					g.line("count.Add(int64(i))")
					g.line("for old := box.Load(); !box.CompareAndSwap(old, newer(old)); old = box.Load() {")
					g.line("}")
					g.line("sum += %s", g.pure(t, i))
				})
				g.line("sums <- sum")
			})
			g.patch(")")
		})
		g.line("wg.Wait()")
		g.line("close(sums)")
		g.line("var all %s", t.name)
		g.line("for s := range sums {")
		g.line("\tall += s")
		g.line("}")
		g.line(`t.say("counters %%v %%v %%v %%v %%v", shared.n, shared.m, count.Load(), box.Load().V, all)`)
	})
	g.line("}")
}

// pipeline passes values from goroutine to goroutine.
func (g *generator) pipeline() {
	t := g.basic()
	x := variable{g.name("x"), t, false}
	g.line("{")
	g.inside(func() {
		g.line("source := make(chan %s)", t.name)
		g.block("go func()", func() {
			g.line("defer close(source)")
			g.line("for _, x := range []%s{%s} {", t.name, g.list(t, 2+g.rng.IntN(5)))
			g.line("\tsource <- x")
			g.line("}")
		})
		g.patch("()")
		g.line("var in <-chan %s = source", t.name)
		stages := variable{"stage", intType, true}
		g.block(fmt.Sprintf("for stage := range %d", 1+g.rng.IntN(4)), func() {
			g.line("out := make(chan %s, stage)", t.name)
			g.block(fmt.Sprintf("go func(in <-chan %s)", t.name), func() {
				g.line("defer close(out)")
				g.block(fmt.Sprintf("for %s := range in", x.name), func() {
					g.line("_ = %s", x.name)
					g.line("out <- %s", g.pure(t, x, stages))
				})
			})
			g.patch("(in)")
			g.line("in = out")
		})
		g.line("for x := range in {")
		g.line("\tt.say(\"piped %%v\", x)")
		g.line("}")
	})
	g.line("}")
}

// selecting gathers from several channels with select, until all are closed, and sorts what came.
func (g *generator) selecting() {
	n := 3 + g.rng.IntN(5)
	i := variable{"i", intType, true}
	g.line("{")
	g.inside(func() {
		g.line("numbers, words, quit := make(chan int), make(chan string, 2), make(chan struct{})")
		g.line("var wg sync.WaitGroup")
		g.line("wg.Go(func() { for i := range %d { numbers <- i ^ %s }; close(numbers) })", n, g.pure(intType, i))
		g.line("wg.Go(func() { for i := range %d { words <- fmt.Sprint(i, %s) }; close(words) })", n, g.pure(g.shownTyp(), i))
		g.line("go func() { wg.Wait(); close(quit) }()")
		g.line("var got []string")
		g.block("for open := 2; open > 0; ", func() {
			g.line("select {")
			g.line("case n, ok := <-numbers:")
			g.line("\tif !ok { numbers = nil; open--; continue }")
			g.line("\tgot = append(got, fmt.Sprint(n))")
			g.line("case w, ok := <-words:")
			g.line("\tif ok { got = append(got, w) } else { words = nil; open-- }")
			g.line("}")
		})
		g.line("<-quit")
		g.line("select { case <-quit: t.say(\"closed\"); default: t.say(\"open\") }")
		g.line("sort.Strings(got)")
		g.line(`t.say("selected %%q", got)`)
	})
	g.line("}")
}

// requests asks a goroutine that owns a state, each with a channel for the answer.
func (g *generator) requests() {
	t := pick(g, integers)
	x := variable{"x", t, false}
	state := variable{"state", t, false}
	g.line("{")
	g.inside(func() {
		g.line("type request struct { x %s; answer chan %s }", t.name, t.name)
		g.line("requests, stop := make(chan request), make(chan struct{})")
		g.block("go func()", func() {
			g.line("var state %s", t.name)
			g.block("for", func() {
				g.line("select {")
				g.line("case r := <-requests:")
				g.line("\tx := r.x")
				g.line("\tstate += %s", g.pure(t, x, state))
				g.line("\tr.answer <- x ^ state")
				g.line("case <-stop:")
				g.line("\tstop <- struct{}{}")
				g.line("\treturn")
				g.line("}")
			})
		})
		g.patch("()")
		g.block(fmt.Sprintf("for i := range %d", 2+g.rng.IntN(6)), func() {
			g.line("answer := make(chan %s)", t.name)
			g.line("requests <- request{%s(i), answer}", t.name)
			g.line(`t.say("answer %%v", <-answer)`)
		})
		g.line("stop <- struct{}{}")
		g.line("<-stop")
	})
	g.line("}")
}

// failing starts goroutines that panic and recover, and joins their errors in order.
func (g *generator) failing() {
	n := 2 + g.rng.IntN(5)
	i := variable{"i", intType, true}
	g.line("{")
	g.inside(func() {
		g.line("errs := make([]error, %d)", n)
		g.line("var wg sync.WaitGroup")
		g.block(fmt.Sprintf("for i := range %d", n), func() {
			g.block("wg.Go(func()", func() {
				g.line("t := &trace{}")
				g.line("_ = t")
				g.line("defer func() {")
				g.line("\tswitch r := recover().(type) {")
				g.line("\tcase nil:")
				g.line("\tcase error:")
				g.line("\t\terrs[i] = fmt.Errorf(\"goroutine %%d: %%w\", i, r)")
				g.line("\tdefault:")
				g.line("\t\terrs[i] = fmt.Errorf(\"goroutine %%d: %%v\", i, r)")
				g.line("\t}")
				g.line("}()")
				g.block("if "+g.pure(boolType, i), func() { g.line("%s", pick(g, accidents)) })
				g.block("if i > 1", func() { g.line("panic(&failure{i})") })
			})
			g.patch(")")
		})
		g.line("wg.Wait()")
		g.line("err := errors.Join(errs...)")
		g.line("var f *failure")
		g.line("if errors.As(err, &f) {")
		g.line("\tt.say(\"failure %%d\", f.code)")
		g.line("}")
		g.line(`t.say("errors %%v", err)`)
	})
	g.line("}")
}
