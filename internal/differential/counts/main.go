// Command counts runs the corpus and generated programs interpreted, compares what they say with what compiled Go says,
// and prints how many do which: "make differential". It ends with exit code 1 if one is wrong or crashes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/differential"
)

func main() {
	differential.Work() // a worker goes no further
	var (
		dir    = flag.String("corpus", "internal/differential/testdata/programs", "folder of the corpus")
		update = flag.Bool("update", false, "ask compiled Go what each program of the corpus says, write that down, and run nothing else")
		seeds  = flag.Int("seeds", 200, "how many programs to generate")
		first  = flag.Uint64("first", 1, "seed of the first generated program")
		times  = flag.Int("times", 50, "runs of a program at the same time, after it ran alone")
		alone  = flag.Bool("alone", false, "run each program once only, alone")
		peer   = flag.Bool("peer", false, "run yaegi on the same programs, too")
		show   = flag.Int("show", 20, "how many differences to show")
	)
	flag.Parse()
	if *update {
		changed, err := differential.Update(*dir)
		for _, name := range changed {
			fmt.Println("updated", name)
		}
		exitOn(err)
		return
	}
	programs, err := differential.ReadCorpus(*dir)
	exitOn(err)
	generated, err := differential.Generated(*first, *seeds)
	exitOn(err)
	programs = append(programs, generated...)

	bad := 0
	runs := []struct {
		title string
		mode  differential.Mode
	}{
		{"each program alone", differential.Mode{Engine: differential.Interpreter}},
		{fmt.Sprintf("each program %d times at once, in one process", *times), differential.Mode{Engine: differential.Interpreter, Times: *times}},
		{"all programs in one process", differential.Mode{Engine: differential.Interpreter, Together: len(programs)}},
	}
	if *alone {
		runs = runs[:1]
	}
	for _, run := range runs {
		bad += table(run.title, programs, run.mode, *show)
	}
	if *peer {
		table("for comparison: yaegi v0.16.1, each program alone", programs, differential.Mode{Engine: differential.Yaegi}, 0)
	}
	if bad > 0 {
		fmt.Printf("%d times wrong or crashed\n", bad)
		os.Exit(1)
	}
}

// table runs the programs, prints the counts and the first differences, and returns how many are wrong or crashed.
func table(title string, programs []differential.Program, mode differential.Mode, show int) (bad int) {
	start := time.Now()
	graded, err := differential.Grades(context.Background(), programs, mode)
	exitOn(err)
	fmt.Printf("%s (%s)\n", title, time.Since(start).Round(100*time.Millisecond))
	exitOn(differential.PrintTable(os.Stdout, graded))
	fmt.Println()
	for _, g := range differential.Failures(graded) {
		if g.Grade != differential.NotRun {
			bad++
		}
		if show > 0 {
			show--
			fmt.Println(g.Difference())
		}
	}
	return bad
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
