package differential

import (
	"fmt"
	"strings"
)

// Verdict says how the run of a program ended.
type Verdict string

// Verdicts.
const (
	Said    Verdict = "said"    // Main returned or panicked: Text is what it returned, or the panic
	Refused Verdict = "refused" // not run, with a reason: Text
	Crashed Verdict = "crashed" // took its process down: Text is the end of what the process wrote
	Hung    Verdict = "hung"    // did not end in time
)

// Outcome is how the run of a program ended.
type Outcome struct {
	Verdict Verdict
	Text    string
}

// say calls a program's Main. It is the same code on both sides, and therefore compiled into the programs too (see
// runnerSource): keep the two alike.
func say(run func() string) (text string) {
	defer func() {
		if cause := recover(); cause != nil {
			text = fmt.Sprintf("panic: %T %v", cause, cause)
		}
	}()
	return run()
}

// clip shortens what is shown of a text to its last n bytes.
func clip(text string, n int) string {
	text = strings.TrimSpace(text)
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}
