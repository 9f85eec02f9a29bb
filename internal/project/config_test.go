package project

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// hostEnv is an environment of one variable.
func hostEnv(name string) (string, bool) {
	return map[string]string{"HOME": "/home/me"}[name], name == "HOME"
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"syntax", "agent: a\n\tb: c\n", []string{"coma.yaml:2: found a tab character"}},
		{"list", "- a\n", []string{"coma.yaml:1:1: want keys and values here, not a list"}},
		{"scalar", "hello\n", []string{`coma.yaml:1:1: want keys and values here, not "hello"`}},
		{"two documents", "agent: a\n---\nagent: b\n", []string{"coma.yaml:2: a second document begins here"}},
		{"duplicate", "agent: a\nagent: b\n", []string{`coma.yaml:2:1: "agent" is here twice; first in line 1`}},
		{"duplicate module", "modules:\n  a: {}\n  a: {}\n", []string{`coma.yaml:3:3: "a" is here twice; first in line 2`}},
		{"unknown far", "xyzzy: 1\n", []string{`coma.yaml:1:1: unknown key "xyzzy"; known are agent, `}},
		{"unknown in module", "modules: {a: {ram: 1MiB}}\n", []string{`coma.yaml:1:15: unknown key "ram"; known are command, disabled, engine`}},
		{"disabled at the top", "disabled: true\n", []string{`unknown key "disabled"`}},
		{"merge", "x: &x {agent: a}\n<<: *x\n", []string{"unknown key", "merge keys"}},
		{"all at once", "durable: maybe\nengine: yeagi\nmemory: 1TB\ngrace: 5\nmailbox: {limit: 0}\nrestart: [always]\nisolation:\n", []string{
			`coma.yaml:1:10: want true or false, not "maybe"`,
			`coma.yaml:2:9: "yeagi" is none of auto, yaegi, go, exec; did you mean "yaegi"?`,
			`coma.yaml:3:9: bad size "1TB"`,
			`coma.yaml:4:8: bad time "5": want a number with its unit`,
			`coma.yaml:5:18: want a whole number from 1, not "0"`,
			`coma.yaml:6:10: want one value here, not a list`,
			`coma.yaml:7:11: "" is none of process, none`,
		}},
		{"durable nothing", "durable:\n", []string{"want true or false, not nothing"}},
		{"grace below zero", "grace: -1s\n", []string{"bad time"}},
		{"limit as text", "mailbox: {limit: many}\n", []string{`not "many"`}},
		{"agent as list", "agent: []\n", []string{"want one value here"}},
		{"env", "env: {A: \"${HOME}${NOPE}${NOR}\", COMA_TOKEN: x, B: , \"C=D\": x, E: [1]}\n", []string{
			"the environment has no NOPE;", "the environment has no NOR;", "COMA_TOKEN is set by coma itself", "B has no value", `bad environment name "C=D"`, "want one value",
		}},
		{"ignore", "watch: {ignore: [\"[\", \"\", \"../x\", 5]}\n", []string{`bad pattern "["`, `bad pattern ""`, `bad pattern "../x"`}},
		{"ignore as text", "watch: {ignore: x}\n", []string{"want a list of patterns"}},
		{"memory", "memory: {embeder: minilm, embedder: openia, ttl: 30, limit: 0, process: 1TB}\n", []string{
			`coma.yaml:1:10: unknown key "embeder"; did you mean "embedder"?`, `coma.yaml:1:37: no embedder is called "openia"; did you mean "openai"?`,
			`coma.yaml:1:50: bad time "30": want a number above 0 with its unit, as in 720h or 30d`, `coma.yaml:1:61: want a whole number from 1, not "0"`, `coma.yaml:1:73: bad size "1TB"`,
		}},
		{"memory of a module", "modules: {a: {memory: {limit: 5}}}\n", []string{"coma.yaml:1:23: want one value here, not keys and values"}},
		{"limit of a module's mailbox", "modules: {a: {mailbox: {limit: 5}}}\n", []string{"coma.yaml:1:24: a module's mailbox is host or mqtt: the limit is the whole agent's, mailbox: {limit: …} outside of modules"}},
		{"memory as a list", "memory: [minilm]\n", []string{"coma.yaml:1:9: want keys and values here, not a list"}},
		{"embedder with a password", "memory: {embedder: 'https://me:hunter2@host/v1', ttl: 0s}\n", []string{"COMA_EMBEDDER_KEY", `bad time "0s"`}},
		{"memory at a damaged address with a password", "memory: {at: 'http://me:hunter2@host:port'}\n", []string{`not "http://host:port"`}},
		{"memory at an address with a password", "memory: {at: 'http://me:hunter2@host:8000'}\n", []string{"COMA_MEMORY_TOKEN"}},
		{"memory at no address", "memory: {at: host:8000}\n", []string{"want the address of a backend, http://host:port"}},
		{"embedder that is empty", "memory: {embedder: '', ttl: [1h], limit: x}\n", []string{"want an embedder: minilm,", "want one value here, not a list", `not "x"`}},
		{"null key", "? [a]\n: b\n", []string{"want a plain word as key"}},
		{"binary", "\x00\x01", []string{"coma.yaml: control characters are not allowed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseConfig([]byte(c.text), hostEnv)
			checkErrors(t, err, c.want)
		})
	}
}

func TestConfigThatSaysNothing(t *testing.T) {
	for _, text := range []string{"", "# hello\n", "---\n", "{}\n", "modules:\n", "modules: {chat: }\n", "watch: {ignore: }\nenv:\n"} {
		c, err := parseConfig([]byte(text), hostEnv)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if d := c.defaults; d.engine != DefaultEngine || d.memory != DefaultMemoryLimit || *d.grace != DefaultGrace {
			t.Errorf("%q: %+v", text, c)
		}
	}
}

func TestConfigReadsValuesAsWritten(t *testing.T) {
	c, err := parseConfig([]byte("agent: &name 007\nenv: {A: 007, B: yes, C: *name, D: '$${HOME}/$HOME/${HOME}', E: \"\"}\ngrace: 0\nmailbox: {limit: 5}\n"), hostEnv)
	must(t, err)
	if c.agent != "007" || *c.defaults.grace != 0 || c.mailboxLimit != 5 {
		t.Errorf("%+v", c)
	}
	for name, want := range map[string]string{"A": "007", "B": "yes", "C": "007", "D": "${HOME}/$HOME//home/me", "E": ""} {
		if got := c.defaults.env[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestConfigOfMemory(t *testing.T) {
	for text, want := range map[string]Memory{
		"memory: 64MiB\n":                     {},
		"memory: {}\n":                        {},
		"memory: {ttl: 30d}\n":                {TTL: 720 * time.Hour},
		"memory: {at: 'https://host:8000'}\n": {At: "https://host:8000"},
		"memory: {process: 64MiB, ttl: 90m, limit: 1000, embedder: 'https://host/v1#model'}\n": {TTL: 90 * time.Minute, Limit: 1000, Embedder: "https://host/v1#model"},
		"memory: {embedder: ollama:nomic-embed-text}\n":                                        {Embedder: "ollama:nomic-embed-text"},
	} {
		c, err := parseConfig([]byte(text), hostEnv)
		must(t, err)
		if c.memory != want {
			t.Errorf("%q: %+v, want %+v", text, c.memory, want)
		}
		limit := int64(DefaultMemoryLimit)
		if strings.Contains(text, "64MiB") {
			limit = 64 << 20
		}
		if c.defaults.memory != limit {
			t.Errorf("%q: modules may use %d bytes, want %d", text, c.defaults.memory, limit)
		}
	}
}

func TestConfigOfMoreThanAMegabyteIsRefused(t *testing.T) {
	_, err := Load(folder(t, "-- chat.go --\npackage chat\nRUN\n-- coma.yaml --\n"+strings.Repeat("# "+strings.Repeat("long ", 1000)+"\n", 300)))
	checkErrors(t, err, []string{"coma.yaml: is larger than 1 MiB"})
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"256MiB": 256 << 20, "1GiB": 1 << 30, "2048KiB": 2 << 20, "64MB": 64e6, "1GB": 1e9, "5000KB": 5e6, "1048576": 1 << 20, "2097152B": 2 << 20, "8 GiB": 8 << 30,
		"": 0, "MiB": 0, "-1MiB": 0, "1.5GiB": 0, "512": 0, "1mib": 0, "1TiB": 0, "0": 0, "99999999999GiB": 0, "9223372036854775807KiB": 0, "1 M iB": 0, "0x10MiB": 0,
	} {
		got, err := parseSize(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("agent: kitchen\ndurable: true\nmailbox: {limit: 10}\nmodules:\n  chat: {engine: go, memory: 1GB, grace: 1m, env: {MODEL: \"${HOME}\"}}\n"))
	f.Add([]byte("watch: {ignore: [\"*.csv\", a/**/b]}\nrestart: &a always\nengine: *a\n"))
	f.Add([]byte("memory: {embedder: openai:large, ttl: 30d, limit: 10, process: 64MiB}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("--- {}\n--- {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig(data, hostEnv)
		for _, err := range flatten(err) {
			var e *Error
			if !errors.As(err, &e) || e.File != configName || e.Msg == "" {
				t.Fatalf("%#v is no error that a user can place", err)
			}
		}
		if err != nil {
			return
		}
		if c.agent != "" && CheckName(c.agent) != nil {
			t.Fatalf("agent %q was let through", c.agent)
		}
		for name, m := range c.modules {
			s := c.defaults.overlaid(m.settings)
			if s.memory < minMemory || *s.grace < 0 || s.engine == "" || s.isolation == "" || s.restart == "" {
				t.Fatalf("module %q: %+v was let through", name, s)
			}
		}
	})
}
