package examples_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// publish publishes as a device does, at the backend of the only agent that runs.
func (h *home) publish(topic, text string) {
	h.t.Helper()
	var backends []struct {
		Broker string `json:"broker"`
	}
	if err := json.Unmarshal([]byte(h.Coma("", "backend", "status", "--json")), &backends); err != nil || len(backends) != 1 {
		h.t.Fatalf("backends: %+v, %v", backends, err)
	}
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(backends[0].Broker).SetClientID("sensor"))
	defer client.Disconnect(0)
	if token := client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		h.t.Fatalf("connect to %s: %v", backends[0].Broker, token.Error())
	}
	if token := client.Publish(topic, 1, false, text); !token.WaitTimeout(patience) || token.Error() != nil {
		h.t.Fatalf("publish on %s: %v", topic, token.Error())
	}
}

// says waits until speech prints one of phrases.
func (a *agent) says(phrases ...string) {
	a.t.Helper()
	a.await("speech saying "+strings.Join(phrases, " or "), func(e event) bool {
		said := strings.TrimSuffix(strings.TrimPrefix(e.Text, "🌱 "), "\n")
		return e.Module == "speech" && e.Event == "print" && slices.Contains(phrases, said)
	})
}

// phrases returns what the plant says in a mood.
func phrases(t *testing.T, mood string) []string {
	t.Helper()
	text := read(t, "plant/speech/phrases.txt")
	_, section, found := strings.Cut(text, "["+mood+"]\n")
	if !found {
		t.Fatalf("phrases.txt has no [%s]", mood)
	}
	section, _, _ = strings.Cut(section, "\n\n")
	return strings.Split(strings.TrimSpace(section), "\n")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// write replaces a file as many editors do: by a rename.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// edit replaces old, which must be in the file once, by new.
func edit(t *testing.T, path, old, new string) {
	t.Helper()
	text := read(t, path)
	if strings.Count(text, old) != 1 {
		t.Fatalf("%s has %q %d times, want once", path, old, strings.Count(text, old))
	}
	write(t, path, strings.Replace(text, old, new, 1))
}

func TestPlantFeels(t *testing.T) {
	h := newHome(t)
	a := h.run("plant")
	a.begin(5)
	a.logged("perception", "the soil is moist") // by the simulator's readings
	a.logged("perception", "the sun is out")
	h.publish("plant/soil", "5") // a sensor from outside
	a.logged("perception", "the soil is parched")
	a.logged("mood", "content → desperate")
	a.says(phrases(t, "desperate")...)
	h.Coma("", "send", "plant/simulator", "water") // the simulated soil is as wet as the sensor said, and more by the water
	a.logged("simulator", "cli waters the plant")
	a.logged("perception", "somebody watered me")
	a.logged("mood", "desperate → glad")
	a.says(phrases(t, "glad")...)
	h.Coma("", "send", "plant/speech", "hello")
	a.says(phrases(t, "answer")...)
	h.publish("plant/temperature", "very hot")
	a.await("a reading that cannot be", func(e event) bool {
		return e.Module == "perception" && strings.Contains(e.Text, "ignores what it cannot feel")
	})
}

// copied makes a copy of the plant to edit, in a Go module of the same name so that its imports lead to the copy.
func copied(t *testing.T, h *home) string {
	t.Helper()
	root := filepath.Join(h.Dir, "checkout")
	dir := filepath.Join(root, "examples", "plant")
	if err := os.CopyFS(dir, os.DirFS("plant")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "go.mod"), "module github.com/concurrent-modular-agent/coma\n")
	return dir
}

// TestPlantThreeEdits makes the edits of the plant's README while it runs.
func TestPlantThreeEdits(t *testing.T) {
	h := newHome(t)
	dir := copied(t, h)
	speech := filepath.Join(dir, "speech", "speech.go")
	a := h.run(dir)
	a.begin(5)
	h.publish("plant/soil", "5")
	a.logged("mood", "content → desperate")

	// A data file: speech is reloaded, in the mood that it was in.
	edit(t, filepath.Join(dir, "speech", "phrases.txt"), "[desperate]\n", "[desperate]\nNew words for an old thirst.\n")
	a.happens("speech", "reloaded")

	// A constant (smaller than the README's, since the test has little time), with a mistake: what runs goes on.
	edit(t, speech, "const pause = 8 * time.Second", "const pause = 2 * time.Millisecond")
	a.happens("speech", "reloaded")
	a.says("New words for an old thirst.")
	edit(t, speech, `"🌱 "`, `"🌱 `)
	failed := a.happens("speech", "load failed")
	if !regexp.MustCompile(`speech\.go:\d+:\d+: `).MatchString(failed.Error) {
		t.Errorf("the mistake is shown as %q", failed.Error)
	}
	h.Coma("", "send", "plant/speech", "hello")
	a.says(phrases(t, "answer")...)
	edit(t, speech, `"🌱 `, `"🌿 "`)
	if e := a.happens("speech", "reloaded"); e.Generation != 4 {
		t.Errorf("the mended speech is generation %d, want 4", e.Generation)
	}
	a.await("words of the mended speech", func(e event) bool { return e.Event == "print" && strings.HasPrefix(e.Text, "🌿 ") })
	edit(t, speech, "const pause = 2 * time.Millisecond", "const pause = 8 * time.Second")
	a.happens("speech", "reloaded")

	// A new module, as the README has it.
	write(t, filepath.Join(dir, "bee.draft"), bee(t))
	if err := os.Mkdir(filepath.Join(dir, "bee"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "bee.draft"), filepath.Join(dir, "bee", "bee.go")); err != nil {
		t.Fatal(err)
	}
	a.happens("bee", "started")
	a.logged("bee", "hums by")
	a.await("an answer to the bee", func(e event) bool { return e.Module == "speech" && e.Event == "print" })
	if err := os.RemoveAll(filepath.Join(dir, "bee")); err != nil {
		t.Fatal(err)
	}
	a.happens("bee", "removed")

	// None but speech has noticed. An edit in readings reloads those that import it.
	for _, name := range a.modules("reloaded") {
		if name != "speech" {
			t.Errorf("%s was reloaded", name)
		}
	}
	before := len(a.modules("reloaded"))
	shared := filepath.Join(dir, "readings", "readings.go")
	write(t, shared, read(t, shared)+"\n// Edited.\n")
	for range 2 {
		a.await("reload", func(e event) bool { return e.Event == "reloaded" })
	}
	// Whatever else had been reloaded with them would have been so by the next reload.
	write(t, speech, read(t, speech)+"\n// Edited, too.\n")
	a.happens("speech", "reloaded")
	again := a.modules("reloaded")[before:]
	slices.Sort(again)
	if want := []string{"perception", "simulator", "speech"}; !slices.Equal(again, want) {
		t.Errorf("an edit in readings and one in speech reloaded %q, want %q", again, want)
	}
}

// bee is the module that the README tells to write.
func bee(t *testing.T) string {
	t.Helper()
	_, code, found := strings.Cut(read(t, "plant/README.md"), "```go\n")
	code, _, closed := strings.Cut(code, "```")
	if !found || !closed {
		t.Fatal("the README has no Go code")
	}
	return strings.ReplaceAll(code, "\n   ", "\n") // it stands in a list
}
