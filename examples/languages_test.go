package examples_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// languages is the page that these tests hold to its word.
const languages = "../docs/languages.md"

// TestLanguagesModules runs each of the page's four modules as it stands there.
func TestLanguagesModules(t *testing.T) {
	needs := map[string]string{".py": "python3", ".mjs": "node", ".sh": "sh", ".go": "go"}
	blocks := regexp.MustCompile("(?ms)^```(?:go|python|js|sh)\n(?://|#) (greeter\\S+)\n(.*?)^```$").FindAllStringSubmatch(read(t, languages), -1)
	if len(blocks) != len(needs) {
		t.Fatalf("%d modules in the page, want %d", len(blocks), len(needs))
	}
	for _, block := range blocks {
		file, code := block[1], block[2]
		t.Run(file, func(t *testing.T) {
			needed := needs[filepath.Ext(file)]
			if _, err := exec.LookPath(needed); err != nil {
				t.Skip("no " + needed)
			}
			h := newHome(t)
			path := filepath.Join(h.Dir, "door", file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, path, code)
			a := h.run(filepath.Join(h.Dir, "door"))
			a.happens("greeter", "started")
			for _, said := range []string{"hello, Ada", "hello again, Ada", "hello, Grace"} {
				_, name, _ := strings.Cut(said, ", ")
				h.Coma("", "send", "door/greeter", name)
				a.logged("greeter", said)
			}
		})
	}
}

// TestLanguagesCommands looks whether the commands that the page's table names are there.
func TestLanguagesCommands(t *testing.T) {
	h := newHome(t)
	commands := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\|.*\|.*\|.*\|(.*)\|$`).FindAllStringSubmatch(read(t, languages), -1) {
		for _, found := range regexp.MustCompile("`(coma (?:memory )?[a-z]+)").FindAllStringSubmatch(row[1], -1) {
			commands[found[1]] = true
		}
	}
	if len(commands) < 15 {
		t.Errorf("%d commands in the page's table", len(commands))
	}
	for command := range commands {
		help := h.Coma("", append(strings.Fields(command)[1:], "--help")...)
		if !strings.Contains(help, "Usage:\n  "+command+" ") {
			t.Errorf("%s is not a command:\n%s", command, help)
		}
	}
}

// TestLanguagesFrames says what the page's module says on the wire, and hears what its host answers.
func TestLanguagesFrames(t *testing.T) {
	h := newHome(t)
	garden := filepath.Join(h.Dir, "garden")
	if err := os.Mkdir(garden, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(garden, "rose.sh"), "coma receive\n") // ends with the message in hand
	a := h.run(garden)
	a.happens("rose", "started")
	var backends []struct{ Socket string }
	if err := json.Unmarshal([]byte(h.Coma("", "backend", "status", "--json")), &backends); err != nil || len(backends) != 1 {
		t.Fatalf("backends: %+v, %v", backends, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", backends[0].Socket)
	}
	ws, _, err := websocket.Dial(ctx, "ws://coma/rpc", &websocket.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dial}}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()

	frames := regexp.MustCompile(`(?m)^(→|←) (\{.*\})`).FindAllStringSubmatch(read(t, languages), -1)
	if len(frames) < 10 {
		t.Fatalf("%d frames in the page", len(frames))
	}
	for _, frame := range frames {
		direction, text := frame[1], frame[2]
		if direction == "→" {
			if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, `"open"`) {
				h.Coma("", "send", "garden/bee", "open")
			}
			continue
		}
		_, got, err := ws.Read(ctx)
		if err != nil {
			t.Fatalf("instead of %s: %v", text, err)
		}
		if want, got := skeleton(t, text), skeleton(t, string(got)); want != got {
			t.Errorf("the host says\n%s\nwhere the page has\n%s", got, want)
		}
	}
	a.logged("rose", "hum")
	if shown := h.Coma("", "memory", "show", "garden"); !strings.Contains(shown, "the rose is open") {
		t.Errorf("the memory has\n%s", shown)
	}
	if waiting := h.Coma("", "messages", "ls", "garden/bee"); strings.Contains(waiting, "open") {
		t.Errorf("the bee's mailbox still has\n%s", waiting)
	}
}

// skeleton is a frame with its keys in order, without what differs from host to host.
func skeleton(t *testing.T, frame string) string {
	t.Helper()
	var message struct {
		Version string         `json:"jsonrpc"`
		ID      int            `json:"id,omitempty"`
		Method  string         `json:"method,omitempty"`
		Params  map[string]any `json:"params,omitempty"`
		Result  any            `json:"result,omitempty"`
		Error   any            `json:"error,omitempty"`
	}
	if err := json.Unmarshal([]byte(frame), &message); err != nil {
		t.Fatalf("%s: %v", frame, err)
	}
	for _, key := range []string{"id", "from", "time"} {
		if _, there := message.Params[key]; there {
			message.Params[key] = "…"
		}
	}
	if result, ok := message.Result.(map[string]any); ok && result["version"] != nil {
		result["version"] = "…"
	}
	text, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
