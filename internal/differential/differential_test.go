package differential

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	Work() // the processes that the tests start go no further
	os.Exit(m.Run())
}

const corpusDir = "testdata/programs"

func corpus(t *testing.T) []Program {
	t.Helper()
	programs, err := ReadCorpus(corpusDir)
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

// maxRefused is how many of the valid programs in a hundred the interpreter may refuse.
const maxRefused = 8

// judge fails the test for every program that is wrong or crashed, and for more refusals than there may be.
func judge(t *testing.T, programs []Program, mode Mode) {
	t.Helper()
	mode.Engine = Interpreter
	graded, err := Grades(t.Context(), programs, mode)
	if err != nil {
		t.Fatal(err)
	}
	if len(graded) != len(programs) {
		t.Fatalf("%d programs were graded, of %d", len(graded), len(programs))
	}
	valid, refused := 0, 0
	for _, g := range graded {
		if g.Program.Valid {
			valid++
		}
		switch g.Grade {
		case Same:
		case NotRun:
			refused++
			t.Log(g.Difference())
		default:
			t.Error(g.Difference())
		}
	}
	if refused*100 > valid*maxRefused {
		t.Errorf("%d of %d valid programs are refused, more than %d%%", refused, valid, maxRefused)
	}
}

func TestCorpusAlone(t *testing.T) { judge(t, corpus(t), Mode{}) }

// TestCorpusAtOnce runs each program several times at the same time in one process; "make differential" does so 50 times.
func TestCorpusAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	judge(t, corpus(t), Mode{Times: 6})
}

// TestCorpusTogether runs all programs in one process, twice: what one leaves behind must not reach another.
func TestCorpusTogether(t *testing.T) {
	programs := corpus(t)
	judge(t, programs, Mode{Together: len(programs), Rounds: 2})
}

// TestCorpusIsTrue compares what the corpus says that compiled Go says with what it says.
func TestCorpusIsTrue(t *testing.T) {
	programs := corpus(t)
	unsure := make([]Program, len(programs))
	for i, p := range programs {
		p.Valid = false // not known yet, for the build
		unsure[i] = p
	}
	build, err := Compile(unsure)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := build.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, p := range programs {
		if build.Compiles(p.Name) != p.Valid {
			t.Errorf("%s/%s: compiles is %t, the file says %t\n%s", p.Kind, p.Name, !p.Valid, p.Valid, build.Complaint(p.Name))
			continue
		}
		if !p.Valid {
			continue
		}
		if got := build.Run(p.Name); got != (Outcome{Said, p.Want}) {
			t.Errorf("%s/%s: compiled Go %s %q, the file says %q (go run ./internal/differential/counts -update)", p.Kind, p.Name, got.Verdict, got.Text, p.Want)
		}
	}
}

func TestGenerated(t *testing.T) {
	n := 40
	if testing.Short() {
		n = 8
	}
	programs, err := Generated(1, n)
	if err != nil {
		t.Fatal(err)
	}
	judge(t, programs, Mode{})
}
