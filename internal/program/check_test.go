package program

import (
	"testing"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// What interpreters say about a file becomes a problem at a place, whatever they say.
func TestReadsWhatIsWrong(t *testing.T) {
	tests := []struct {
		name string
		read func(file string, said []byte) modproc.Problem
		said string
		want string
	}{
		{"node", readNode, "/p/x.js:2\nlet y = ;\n        ^\n\nSyntaxError: Unexpected token ';'\n    at wrapSafe (node:internal/modules/cjs/loader:1464:18)\n\nNode.js v20.20.2\n", "/p/x.js:2:9: SyntaxError: Unexpected token ';'"},
		{"an import in what is no module", readNode, "/p/x.js:1\nimport x\n^^^^^^\n\nSyntaxError: Cannot use import statement outside a module\n", `/p/x.js:1:1: SyntaxError: Cannot use import statement outside a module (name it .mjs, or put a package.json with "type": "module" beside it)`},
		{"node for no reason", readNode, "", "/p/x: it does not parse"},
		{"bash", readShell, "/p/x: line 3: syntax error: unexpected end of file\n", "/p/x:3: syntax error: unexpected end of file"},
		{"dash", readShell, "/p/x: 3: Syntax error: \")\" unexpected\n", "/p/x:3: Syntax error: \")\" unexpected"},
		{"a shell that says only where", readShell, "/p/x: line 3: \n", "/p/x:3: it does not parse"},
		{"a shell that says something else", readShell, "zsh: no\n", "/p/x: zsh: no"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.read("/p/x", []byte(test.said)).String(); got != test.want {
				t.Errorf("problem %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzReadsWhatIsWrong(f *testing.F) {
	f.Add([]byte("/p/x.js:2\nlet y = ;\n        ^\n\nSyntaxError: Unexpected token ';'\n"))
	f.Add([]byte("/p/x: line 99999999999999999999: syntax error\n\xff"))
	f.Fuzz(func(t *testing.T, said []byte) {
		for _, read := range []func(string, []byte) modproc.Problem{readNode, readShell} {
			if p := read("/p/x", said); p.Message == "" || p.File == "" || p.Line < 0 || p.Column < 0 || !utf8.ValidString(p.Message) {
				t.Errorf("problem %+v", p)
			}
		}
	})
}
