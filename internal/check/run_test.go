package check

import (
	"go/token"
	"testing"
)

func TestRun(t *testing.T) {
	const head = `package chat; import ("context"; "github.com/concurrent-modular-agent/coma"); var _ context.Context; var _ *coma.Agent; `
	const want = "\n\twant func Run(ctx context.Context, agent *coma.Agent) error"
	for _, c := range []struct{ name, text, wrong string }{
		{"right", "func Run(ctx context.Context, agent *coma.Agent) error { return nil }", ""},
		{"other names", "func Run(_ context.Context, a *coma.Agent) (err error) { return }", ""},
		{"aliases", "type C = context.Context; type A = coma.Agent; func Run(c C, a *A) error { return nil }", ""},
		{"missing", "", "package chat has no function Run" + want},
		{"lower case", "func run(ctx context.Context, agent *coma.Agent) error { return nil }", "function run must be called Run" + want},
		{"method", "type bot struct{}; func (b *bot) Run(ctx context.Context, agent *coma.Agent) error { return nil }",
			"Run is a method of *bot, and must be a function" + want},
		{"other name", "func Start(ctx context.Context, agent *coma.Agent) error { return nil }",
			"package chat has no function Run; is Start meant?" + want},
		{"variable", "var Run = func(ctx context.Context, agent *coma.Agent) error { return nil }", "Run is a variable, and must be a function" + want},
		{"type", "type Run struct{}", "Run is a type, and must be a function" + want},
		{"generic", "func Run[T any](ctx context.Context, agent *coma.Agent) error { return nil }",
			"Run has type parameters, and coma would not know what to put for them\n\thave func Run[T any](ctx context.Context, agent *coma.Agent) error" + want},
		{"no error", "func Run(ctx context.Context, agent *coma.Agent) {}",
			"Run returns nothing: return an error, nil where all is well\n\thave func Run(ctx context.Context, agent *coma.Agent)" + want},
		{"other result", "func Run(ctx context.Context, agent *coma.Agent) int { return 0 }",
			"Run does not return an error\n\thave func Run(ctx context.Context, agent *coma.Agent) int" + want},
		{"two results", "func Run(ctx context.Context, agent *coma.Agent) (int, error) { return 0, nil }",
			"Run returns 2 values: return an error alone\n\thave func Run(ctx context.Context, agent *coma.Agent) (int, error)" + want},
		{"no parameters", "func Run() error { return nil }",
			"Run takes no parameters, and is given a context and the agent\n\thave func Run() error" + want},
		{"context only", "func Run(ctx context.Context) error { return nil }",
			"Run does not take the agent\n\thave func Run(ctx context.Context) error" + want},
		{"agent only", "func Run(agent *coma.Agent) error { return nil }",
			"Run does not take a context, which says when to stop\n\thave func Run(agent *coma.Agent) error" + want},
		{"swapped", "func Run(agent *coma.Agent, ctx context.Context) error { return nil }",
			"Run has its parameters the other way round\n\thave func Run(agent *coma.Agent, ctx context.Context) error" + want},
		{"by value", "func Run(ctx context.Context, agent coma.Agent) error { return nil }",
			"Run takes the agent by value: a * is missing\n\thave func Run(ctx context.Context, agent coma.Agent) error" + want},
		{"other context", "type Context struct{}; func Run(ctx Context, agent *coma.Agent) error { return nil }",
			"Run has another first parameter than a context\n\thave func Run(ctx Context, agent *coma.Agent) error" + want},
		{"other agent", "func Run(ctx context.Context, agent any) error { return nil }",
			"Run has another second parameter than the agent\n\thave func Run(ctx context.Context, agent any) error" + want},
		{"three", "func Run(ctx context.Context, agent *coma.Agent, n int) error { return nil }",
			"Run has 3 parameters, and is given a context and the agent\n\thave func Run(ctx context.Context, agent *coma.Agent, n int) error" + want},
		{"variadic", "func Run(ctx context.Context, agents ...*coma.Agent) error { return nil }",
			"Run takes any number of arguments (...), and is given two\n\thave func Run(ctx context.Context, agents ...*coma.Agent) error" + want},
	} {
		t.Run(c.name, func(t *testing.T) {
			fset := token.NewFileSet()
			checked, wrong := Check(fset, []Package{source(t, fset, "chat", head+c.text)})
			if len(wrong) > 0 {
				t.Fatal(say(fset, wrong))
			}
			run, wrong := Run(checked[0])
			if c.wrong == "" {
				if run == nil || run.Name() != "Run" || len(wrong) > 0 {
					t.Errorf("Run = %v, %v", run, wrong)
				}
				return
			}
			if run != nil || len(wrong) != 1 || wrong[0].Message != c.wrong || !wrong[0].Pos.IsValid() {
				t.Errorf("Run = %v, %v\nwant %s", run, wrong, c.wrong)
			}
		})
	}
}
