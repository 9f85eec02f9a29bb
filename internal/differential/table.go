package differential

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
)

// Grade is what the outcome of a program means.
type Grade string

// Grades. Only Same and, sparingly, NotRun are right.
const (
	Same   Grade = "same"    // as compiled: the same text, or refused by both
	NotRun Grade = "refused" // compiled Go runs it, the interpreter refused it before running
	Wrong  Grade = "wrong"   // another text than compiled Go, or run though Go does not compile it
	Crash  Grade = "crashed" // took the process down, or did not end
)

var grades = []Grade{Same, NotRun, Wrong, Crash}

// Graded is a program and how it went.
type Graded struct {
	Program Program
	Outcome Outcome
	Grade   Grade
}

func grade(p Program, o Outcome) Graded {
	g := Graded{p, o, Wrong}
	switch {
	case o.Verdict == Crashed || o.Verdict == Hung:
		g.Grade = Crash
	case o.Verdict == Refused && !p.Valid:
		g.Grade = Same
	case o.Verdict == Refused:
		g.Grade = NotRun
	case p.Valid && o.Text == p.Want:
		g.Grade = Same
	}
	return g
}

// Mode is how programs are put to the test.
type Mode struct {
	Engine   Engine
	Times    int // runs of a program at the same time
	Rounds   int // how often that is repeated, in the same process
	Together int // programs that follow each other in one process; 0 or 1: each has a process of its own
}

// Grades runs all programs, as many processes at a time as there are processors, and grades them in the same order.
func Grades(ctx context.Context, programs []Program, mode Mode) ([]Graded, error) {
	graded := make([]Graded, len(programs))
	errs := make([]error, len(programs))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	step := max(1, mode.Together)
	for from := 0; from < len(programs); from += step {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			part := programs[from:min(from+step, len(programs))]
			outcomes, err := Run(ctx, Job{Engine: mode.Engine, Programs: part, Times: mode.Times, Rounds: mode.Rounds})
			errs[from] = err
			for i, outcome := range outcomes {
				graded[from+i] = grade(part[i], outcome)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("run programs: %w", err)
		}
	}
	return graded, nil
}

// PrintTable prints how many programs of each kind got which grade.
func PrintTable(w io.Writer, graded []Graded) error {
	counts := map[string]map[Grade]int{}
	kinds := []string{}
	for _, g := range graded {
		if counts[g.Program.Kind] == nil {
			counts[g.Program.Kind] = map[Grade]int{}
			kinds = append(kinds, g.Program.Kind)
		}
		counts[g.Program.Kind][g.Grade]++
	}
	slices.Sort(kinds)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cells ...any) {
		fmt.Fprint(table, name, "\t")
		for _, cell := range cells {
			fmt.Fprint(table, cell, "\t")
		}
		fmt.Fprintln(table)
	}
	row("kind", "programs", "same", "refused", "wrong", "crashed")
	line := func(name string, of map[Grade]int) {
		total := 0
		cells := []any{0}
		for _, g := range grades {
			total += of[g]
			cells = append(cells, of[g])
		}
		cells[0] = total
		row(name, cells...)
	}
	sum := map[Grade]int{}
	for _, kind := range kinds {
		line(kind, counts[kind])
		for g, n := range counts[kind] {
			sum[g] += n
		}
	}
	line("all", sum)
	return table.Flush()
}

// Difference tells what a program says and what it should.
func (g Graded) Difference() string {
	want := "say " + quoteLines(g.Program.Want)
	if !g.Program.Valid {
		want = "be refused: Go does not compile it"
	}
	return fmt.Sprintf("%s/%s is %s:\n  it %s %s\n  it should %s",
		g.Program.Kind, g.Program.Name, g.Grade, g.Outcome.Verdict, quoteLines(g.Outcome.Text), want)
}

func quoteLines(text string) string {
	if !strings.Contains(text, "\n") {
		return fmt.Sprintf("%q", text)
	}
	lines := strings.Split(text, "\n")
	return "\n    | " + strings.Join(lines, "\n    | ")
}

// Failures are those that are not Same.
func Failures(graded []Graded) []Graded {
	return slices.DeleteFunc(slices.Clone(graded), func(g Graded) bool { return g.Grade == Same })
}
