package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// captainSays waits until the captain prints what contains text.
func (a *agent) captainSays(text string) {
	a.t.Helper()
	a.await("the captain saying "+text, func(e event) bool {
		return e.Module == "captain" && e.Event == "print" && strings.Contains(e.Text, text)
	})
}

// tells waits until module logs a line that contains text.
func (a *agent) tells(module, text string) {
	a.t.Helper()
	a.await(module+" telling "+text, func(e event) bool {
		return e.Module == module && e.Event == "log" && strings.Contains(e.Text, text)
	})
}

// TestPolyglot makes the edits of the README, one in each language, while the ship sails.
func TestPolyglot(t *testing.T) {
	for _, needed := range []string{"python3", "node"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("no %s: the crew is not complete", needed)
		}
	}
	h := newHome(t)
	dir := filepath.Join(h.Dir, "polyglot")
	if err := os.CopyFS(dir, os.DirFS("polyglot")); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(dir, "coma.yaml"), `PAUSE: "3"`, `PAUSE: "0.05"`) // all comes again soon
	a := h.run(dir)
	a.begin(4)
	a.tells("lookout", "a whale to port!")
	a.tells("navigator", "a whale, 270°")
	a.tells("helm", "turned to 130° away from a reef")
	a.captainSays("back on course, 90°")
	a.tells("navigator", "a reef, 000°, again")
	a.captainSays("away from a reef: we should know by now")

	h.Coma("", "send", "polyglot/captain", "when were we in danger?")
	a.captainSays(": a danger (navigator, ")
	h.Coma("", "send", "polyglot/navigator", "a sailing ship astern")
	a.tells("navigator", "a sailing ship, 180°, again")
	h.Coma("", "send", "polyglot/navigator", "the end of the world")
	a.captainSays("nobody knows where the end of the world is")

	sightings := filepath.Join(dir, "lookout", "sightings.txt")
	write(t, sightings, read(t, sightings)+"a mermaid astern\n")
	a.happens("lookout", "reloaded")
	a.tells("navigator", "a mermaid, 180°")

	navigator := filepath.Join(dir, "navigator.py")
	edit(t, navigator, "with coma.connect() as ship:", "with coma.connect() as ship")
	failed := a.happens("navigator", "load failed")
	if !regexp.MustCompile(`navigator\.py:\d+:\d+: `).MatchString(failed.Error) {
		t.Errorf("the mistake is shown as %q", failed.Error)
	}
	a.tells("navigator", "a lighthouse, 090°, again") // what runs goes on
	mended := strings.Replace(read(t, navigator), "with coma.connect() as ship", "with coma.connect() as ship:", 1)
	write(t, navigator, strings.Replace(mended, `("reef", `, `("whale", "reef", `, 1))
	a.happens("navigator", "reloaded")
	a.tells("helm", "away from a whale")

	edit(t, filepath.Join(dir, "helm.mjs"), "const TURN = 40;", "const TURN = 60;")
	a.happens("helm", "reloaded")
	a.captainSays("turned to 150° away from")

	edit(t, filepath.Join(dir, "captain", "captain.go"), `agent.Print("⚓ ", msg.Text, "\n")`, `agent.Print("captain: ", msg.Text, "\n")`)
	a.happens("captain", "reloaded")
	a.captainSays("captain: ")

	for _, kind := range []string{"failed", "restarted"} {
		if names := a.modules(kind); len(names) > 0 {
			t.Errorf("%s: %q\n%s", kind, names, a.Story())
		}
	}
	a.Stop()
	shown := h.Coma("", "memory", "show", "polyglot", "-n", "0")
	for _, want := range []string{"a new watch began", "by=lookout", "by=navigator", "we met a mermaid", "we met a whale: a danger", "by=helm", "turned to 150° away from"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the memory lacks %q:\n%s", want, shown)
		}
	}
}
