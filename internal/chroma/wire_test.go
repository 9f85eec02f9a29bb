package chroma

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The exchanges in testdata/wire are what the real Chroma answers, line by line. They are recorded with
//
//	chroma run --path /tmp/empty --port 8123
//	go test ./internal/chroma -run TestWire -record http://localhost:8123
//
// and everywhere else replayed against this package. A line is one of
//
//	> METHOD path body     a request; ~ is the default database, <uuid-1> the first id that was answered, and so on
//	< status body          what the real Chroma answers
//	! status body          where this package answers otherwise, on purpose; the line above it says why
//
// Of errors that a library of the real one words (about JSON and regular expressions), the kind alone is to be equal.
var record = flag.String("record", "", "the address of a real Chroma, empty: its answers are recorded")

func TestWire(t *testing.T) {
	files, err := filepath.Glob("testdata/wire/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no exchanges: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			if *record != "" {
				recordWire(t, file)
				return
			}
			replayWire(t, file)
		})
	}
}

func replayWire(t *testing.T, file string) {
	base := serve(t)
	ids := &names{}
	var request string
	var got reply
	lines := wireLines(t, file)
	for n, line := range lines {
		if line == "" || line[0] == '#' {
			continue
		}
		mark, rest := line[0], strings.TrimPrefix(line[1:], " ")
		switch mark {
		case '>':
			request = rest
			got = exchange(t, base, request, ids)
		case '<', '!':
			if mark == '<' && overridden(lines, n) {
				continue
			}
			want := parseAnswer(rest)
			if diff := differ(got, want); diff != "" {
				t.Errorf("%s:%d: %s\n got %v\nwant %v\n%s", file, n+1, request, got, rest, diff)
			}
		default:
			t.Fatalf("%s:%d: %s", file, n+1, line)
		}
	}
}

// overridden reports whether the answer in line n is followed by one that counts instead.
func overridden(lines []string, n int) bool {
	for _, line := range lines[n+1:] {
		if strings.HasPrefix(line, "#") {
			continue
		}
		return strings.HasPrefix(line, "!")
	}
	return false
}

// recordWire writes the real Chroma's answers below the requests of a file. What is written by hand stays.
func recordWire(t *testing.T, file string) {
	var out bytes.Buffer
	ids := &names{}
	for _, line := range wireLines(t, file) {
		if strings.HasPrefix(line, "<") {
			continue
		}
		fmt.Fprintln(&out, line)
		if request, ok := strings.CutPrefix(line, "> "); ok {
			fmt.Fprintln(&out, "< "+exchange(t, *record, request, ids).String())
		}
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wireLines(t testing.TB, file string) []string {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimRight(string(data), "\n"), "\n")
}

// reply is a status and a body: JSON, or else text.
type reply struct {
	status int
	text   string // of the body, with names for ids
	body   any    // the same, decoded; nil where it is no JSON
}

func (a reply) String() string { return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, a.text)) }

func parseAnswer(text string) reply {
	var a reply
	fmt.Sscan(text, &a.status)
	_, a.text, _ = strings.Cut(text, " ")
	a.decode()
	return a
}

func (a *reply) decode() {
	decoder := json.NewDecoder(strings.NewReader(a.text))
	decoder.UseNumber()
	if decoder.Decode(&a.body) != nil {
		a.body = nil
	}
}

// exchange sends a request line and returns the answer.
func exchange(t *testing.T, base, request string, ids *names) reply {
	t.Helper()
	method, rest, _ := strings.Cut(request, " ")
	path, body, _ := strings.Cut(rest, " ")
	path = strings.Replace(path, "~", "/api/v2/tenants/default_tenant/databases/default_database", 1)
	r, err := http.NewRequestWithContext(t.Context(), method, base+ids.real(path), strings.NewReader(ids.real(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(ids.named(string(data)), "\n", " ")
	a := reply{status: resp.StatusCode, text: text}
	a.decode()
	return a
}

// names gives names to ids in the order in which they are seen.
type names struct{ seen []string }

var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

func (n *names) named(text string) string {
	return uuids.ReplaceAllStringFunc(text, func(id string) string {
		if strings.HasPrefix(id, "00000000-") {
			return id
		}
		i := slices.Index(n.seen, id)
		if i < 0 {
			i = len(n.seen)
			n.seen = append(n.seen, id)
		}
		return fmt.Sprintf("<uuid-%d>", i+1)
	})
}

func (n *names) real(text string) string {
	for i, id := range n.seen {
		text = strings.ReplaceAll(text, fmt.Sprintf("<uuid-%d>", i+1), id)
	}
	return text
}

// differ says where two answers differ; numbers with a point may by 1e-5 of their size.
func differ(got, want reply) string {
	if got.status != want.status {
		return fmt.Sprintf("status %d, not %d", got.status, want.status)
	}
	if want.body == nil { // nobody reads the text of an unknown path
		return ""
	}
	if kind, message := failure(want); worded.MatchString(message) {
		if own, _ := failure(got); own != kind {
			return "another kind of error"
		}
		return ""
	}
	return differAt("", got.body, want.body)
}

// worded matches errors that are worded by a library.
var worded = regexp.MustCompile("^(Failed to (deserialize|parse) the|Regex syntax|Tonic error|Invalid base64|Validation error: .*: length )")

func failure(r reply) (kind, message string) {
	fields, _ := r.body.(map[string]any)
	kind, _ = fields["error"].(string)
	message, _ = fields["message"].(string)
	return kind, message
}

func differAt(at string, got, want any) string {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			break
		}
		for key := range want {
			if key == "num_threads" || strings.HasSuffix(at, ".schema.keys") {
				continue // of the machine that was recorded; which keys the records' metadata have had
			}
			if _, has := got[key]; !has {
				return at + "." + key + " is missing"
			}
			if diff := differAt(at+"."+key, got[key], want[key]); diff != "" {
				return diff
			}
		}
		for key := range got {
			if _, has := want[key]; !has {
				return at + "." + key + " is too much"
			}
		}
		return ""
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			break
		}
		for i := range want {
			if diff := differAt(fmt.Sprintf("%s[%d]", at, i), got[i], want[i]); diff != "" {
				return diff
			}
		}
		return ""
	case json.Number:
		got, ok := got.(json.Number)
		if !ok {
			break
		}
		if got == want {
			return ""
		}
		x, err1 := got.Float64()
		y, err2 := want.Float64()
		if isFloat := strings.ContainsAny(string(want), ".eE"); err1 == nil && err2 == nil && isFloat == strings.ContainsAny(string(got), ".eE") {
			if isFloat && math.Abs(x-y) <= 1e-5*max(1, math.Abs(y)) {
				return ""
			}
		}
	default:
		if reflect.DeepEqual(got, want) {
			return ""
		}
	}
	return fmt.Sprintf("%s is %v, not %v", at, got, want)
}
