package link_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
)

var update = flag.Bool("update", false, "write examples.json anew")

// compareExamples holds the examples in the document against what this test has called and got.
func (d *document) compareExamples() {
	d.t.Helper()
	var made bytes.Buffer
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "\t")
	if err := encoder.Encode(d.examples); err != nil {
		d.t.Fatal(err)
	}
	const name = "examples.json"
	if *update {
		if err := os.WriteFile(name, made.Bytes(), 0o644); err != nil {
			d.t.Fatal(err)
		}
	}
	known, err := os.ReadFile(name)
	if err != nil {
		d.t.Fatal(err)
	}
	if made.String() != string(known) {
		d.t.Errorf("what is called and answered has changed, %s has not: go test ./internal/link -run TestEveryMethod -update\n%s", name, made.String())
	}
}

// changing is what is another each time, or on each machine, and what examples have instead.
var changing = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`"time":\d+`), `"time":1795253400000000000`},
	{regexp.MustCompile(`"(time|since|started)":"[^"]*\.\d+[^"]*"`), `"$1":"2026-11-21T09:30:00Z"`},
	{regexp.MustCompile(`"\w{13}-\w+"`), `"5e2kq0x8w7r1m-4"`},
	{regexp.MustCompile(`"message":"[^"]*session replaced`), `"message":"session replaced`},
	{regexp.MustCompile(`"pid":\d+`), `"pid":4711`},
	{regexp.MustCompile(`"(waiting|pending)":\d+`), `"$1":1`},
	{regexp.MustCompile(`"clients":\d+`), `"clients":2`},
	{regexp.MustCompile(`"version":"[^"]*"`), `"version":"v1.0.0"`},
	{regexp.MustCompile(`"project":"[^"]*"`), `"project":"/home/ada/garden"`},
	{regexp.MustCompile(`"path":"[^"]*"`), `"path":"/home/ada/greenhouse.json"`},
	{regexp.MustCompile(`"socket":"[^"]*"`), `"socket":"/run/user/1000/coma/coma.sock"`},
	{regexp.MustCompile(`"api":"unix:[^"]*"`), `"api":"unix:///run/user/1000/coma/coma.sock"`},
	{regexp.MustCompile(`"(api|http)":"http:[^"]*"`), `"$1":"http://127.0.0.1:8000"`},
	{regexp.MustCompile(`"broker":"[^"]*"`), `"broker":"mqtt://127.0.0.1:1883"`},
	{regexp.MustCompile(`"token":"[^"]*"`), `"token":"5f0c…"`},
	{regexp.MustCompile(`"bytes":\d+`), `"bytes":65536`},
	{regexp.MustCompile(`,"held":\d+`), ``},
	{regexp.MustCompile(`,"problems":\[[^]]*\]`), ``},
	{regexp.MustCompile(`"(distance|score)":(\d\.\d{1,3})\d*`), `"$1":$2`},
}

// lasting is JSON in which what is another each time has been replaced.
func lasting(text json.RawMessage) json.RawMessage {
	for _, c := range changing {
		text = c.pattern.ReplaceAll(text, []byte(c.by))
	}
	return text
}
