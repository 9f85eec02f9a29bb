package check

import (
	_ "embed"
	"strings"
)

//go:generate go run ./gen ../../docs/interpreter.md

// head is the page's text before the table; it says what holds, and the table what does not.
//
//go:embed page.md
var head string

// Page is the text of docs/interpreter.md, which tells authors of modules what the interpreter does.
func Page() string {
	var out strings.Builder
	out.WriteString(head)
	for _, r := range Refusals() {
		out.WriteString("\n### " + sentence(r.What) + "\n\n")
		out.WriteString("    " + strings.ReplaceAll(r.Message, "%s", "…") + ": " + r.WayOut + "\n\n")
		for _, one := range r.Cases {
			out.WriteString("- " + one + "\n")
		}
		if r.Cases != nil {
			out.WriteString("\n")
		}
		out.WriteString("Why: " + r.Reason + "\n\nInstead: " + r.WayOut + ".\n")
	}
	return out.String()
}

// sentence begins s with an upper case letter.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
