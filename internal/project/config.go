package project

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/nearest"
	"go.yaml.in/yaml/v3"
)

// configName is the project's settings file.
const configName = "coma.yaml"

// What modules get where coma.yaml says nothing.
const (
	DefaultEngine      = EngineAuto
	DefaultIsolation   = "process"
	DefaultRestart     = "on-failure"
	DefaultMemoryLimit = 512 << 20 // bytes
	DefaultGrace       = 5 * time.Second
)

// The engines that make something that runs of a module's source.
const (
	EngineYaegi = "yaegi" // interprets Go
	EngineGo    = "go"    // compiles Go
	EngineAuto  = "auto"  // interprets Go, and compiles what Go would run and the interpreter does not (compile.Instead)
	EngineExec  = "exec"  // starts any other program
)

// config is coma.yaml:
//
//	agent: garden               # else the folder's name
//	durable: true               # messages are on disk before their sender goes on
//	mailbox: {limit: 1000}      # messages that may wait for one module
//	engine: auto                # auto, yaegi, go or exec          } for all modules,
//	isolation: process          # process or none                  } or for one below
//	restart: on-failure         # always, on-failure or never      }
//	memory: 512MiB              # per module's process             }
//	grace: 5s                   # from the request to stop to the kill }
//	env: {MODEL: small, KEY: "${OPENAI_API_KEY}"}                # }
//	modules:
//	  chat: {engine: go, env: {MODEL: large}}
//	  camera: {disabled: true}
//	  eye: {command: [python3, -X, dev, main.py]}   # what is started, in the module's folder
//	  ear: {mailbox: mqtt}      # or host; it takes its messages as an MQTT client does, by their topic
//	watch: {ignore: ["*.csv", chat/cache, "**/out/*"]}
//
// At the top, memory may also be about the memory that the agent remembers with; process is then the limit of modules:
//
//	memory: {embedder: minilm, ttl: 720h, limit: 100000, process: 512MiB}
//
// broker is an MQTT broker in place of the backend's own, for all projects of a run: a URL, or
//
//	broker: {url: "mqtts://host:8883", user: garden, ca: ca.pem, cert: host.pem, key: host.key, mirror: false}
type config struct {
	agent        string
	broker       Broker
	durable      bool
	mailboxLimit int
	memory       Memory
	defaults     settings
	memorySaid   bool // defaults.memory is coma.yaml's
	modules      map[string]moduleConfig
	ignore       ignore
}

type moduleConfig struct {
	settings
	disabled     bool
	command      []string
	mailbox      string // "host" or "mqtt"; "": as its kind says
	line, column int
}

// settings of modules; what is zero was not said.
type settings struct {
	engine, isolation, restart string
	memory                     int64
	grace                      *time.Duration // nil: not said; 0 means kill at once
	env                        map[string]string
}

// overlaid returns s with what over says in its place; env is joined.
func (s settings) overlaid(over settings) settings {
	set := func(value *string, over string) {
		if over != "" {
			*value = over
		}
	}
	set(&s.engine, over.engine)
	set(&s.isolation, over.isolation)
	set(&s.restart, over.restart)
	if over.memory != 0 {
		s.memory = over.memory
	}
	if over.grace != nil {
		s.grace = over.grace
	}
	env := make(map[string]string, len(s.env)+len(over.env))
	maps.Copy(env, s.env)
	maps.Copy(env, over.env)
	s.env = env
	return s
}

func (m moduleConfig) unknown(name string, modules []*Module) error {
	names := make([]string, len(modules))
	for i, module := range modules {
		names[i] = module.Name
	}
	hint := nearest.Hint(name, names)
	if hint == "" {
		hint = "; there are " + shortened(strings.Join(names, ", "))
	}
	return &Error{File: configName, Line: m.line, Column: m.column, Msg: fmt.Sprintf("no module is named %q%s", shortened(name), hint)}
}

func loadConfig(root string) (config, error) {
	data, err := readSettings(root, configName)
	if err != nil {
		return config{}, err
	}
	if data == nil {
		if _, err := os.Stat(filepath.Join(root, "coma.yml")); !errors.Is(err, fs.ErrNotExist) {
			return config{}, &Error{File: "coma.yml", Msg: "is not read; name it coma.yaml"}
		}
	}
	return parseConfig(data, os.LookupEnv)
}

// parseConfig reads coma.yaml's bytes; lookup is the host's environment. Its errors are *Error, joined: everything
// that is wrong, not only the first thing.
func parseConfig(data []byte, lookup func(string) (string, bool)) (config, error) {
	grace := DefaultGrace
	c := config{
		defaults: settings{engine: DefaultEngine, isolation: DefaultIsolation, restart: DefaultRestart, memory: DefaultMemoryLimit, grace: &grace},
		modules:  make(map[string]moduleConfig),
	}
	document, err := parseDocument(data)
	if err != nil || document == nil {
		return c, err
	}
	r := &configReader{lookup: lookup}
	var top settings
	fields := r.settings(&top)
	processMemory := fields["memory"]
	maps.Copy(fields, map[string]func(*yaml.Node){
		"memory": func(n *yaml.Node) {
			if target(n).Kind == yaml.ScalarNode {
				processMemory(n)
				return
			}
			r.mapping(n, map[string]func(*yaml.Node){
				"embedder": r.embedder(&c.memory.Embedder), "ttl": r.age(&c.memory.TTL), "limit": r.count(&c.memory.Limit), "at": r.address(&c.memory.At), "process": processMemory,
			})
		},
		"agent": func(n *yaml.Node) {
			c.agent = r.text(n)
			if err := CheckName(c.agent); err != nil && target(n).Kind == yaml.ScalarNode {
				r.fail(n, "%v", err)
			}
		},
		"broker":  r.broker(&c.broker),
		"durable": r.boolean(&c.durable),
		"mailbox": func(n *yaml.Node) {
			r.mapping(n, map[string]func(*yaml.Node){"limit": r.count(&c.mailboxLimit)})
		},
		"modules": func(n *yaml.Node) {
			r.pairs(n, func(key, value *yaml.Node) { c.modules[key.Value] = r.module(key, value) })
		},
		"watch": func(n *yaml.Node) {
			r.mapping(n, map[string]func(*yaml.Node){"ignore": func(n *yaml.Node) { c.ignore.globs = r.globs(n) }})
		},
	})
	r.mapping(document, fields)
	c.defaults, c.memorySaid = c.defaults.overlaid(top), top.memory != 0
	return c, errors.Join(r.errs...)
}

// yamlPlace finds the line in the yaml package's errors, which have it as text only.
var yamlPlace = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// parseDocument returns the one document's node, nil for an empty file.
func parseDocument(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	broken := func(err error) error {
		e := &Error{File: configName, Msg: err.Error(), Err: err}
		if place := yamlPlace.FindStringSubmatch(err.Error()); place != nil {
			e.Msg = place[2]
			e.Line, _ = strconv.Atoi(place[1]) // no line: 0, which is what Line says then
		}
		return e
	}
	var first, second yaml.Node
	if err := decoder.Decode(&first); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, broken(err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &Error{File: configName, Line: second.Line, Msg: "a second document begins here (---); coma.yaml is one"}
	case !errors.Is(err, io.EOF):
		return nil, broken(err)
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 {
		return nil, &Error{File: configName, Line: first.Line, Msg: "want keys and values"}
	}
	return first.Content[0], nil
}

// configReader turns yaml nodes into values. It reads nodes rather than letting yaml decode into structs so that each error has its
// line and column, names the value as the user wrote it, and does not hide the next.
type configReader struct {
	lookup func(string) (string, bool)
	errs   []error
}

func (r *configReader) fail(n *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, &Error{File: configName, Line: n.Line, Column: n.Column, Msg: fmt.Sprintf(format, args...)})
}

// pairs calls each for every key of a mapping, once.
func (r *configReader) pairs(n *yaml.Node, each func(key, value *yaml.Node)) {
	n = target(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "want keys and values here, not %s", describe(n))
		return
	}
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := target(n.Content[i]), n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			r.fail(n.Content[i], "want a plain word as key, not %s", describe(key))
		case key.Tag == "!!merge":
			r.fail(key, "merge keys (<<) are not read; write the values out")
		case lines[key.Value] != 0:
			r.fail(key, "%q is here twice; first in line %d", shortened(key.Value), lines[key.Value])
		default:
			lines[key.Value] = n.Content[i].Line
			each(key, value)
		}
	}
}

// mapping reads a mapping of known keys.
func (r *configReader) mapping(n *yaml.Node, fields map[string]func(*yaml.Node)) {
	r.pairs(n, func(key, value *yaml.Node) {
		read := fields[key.Value]
		if read == nil {
			known := slices.Sorted(maps.Keys(fields))
			hint := nearest.Hint(key.Value, known)
			if hint == "" {
				hint = "; known are " + strings.Join(known, ", ")
			}
			r.fail(key, "unknown key %q%s", shortened(key.Value), hint)
			return
		}
		read(value)
	})
}

func (r *configReader) module(key, value *yaml.Node) moduleConfig {
	m := moduleConfig{line: key.Line, column: key.Column}
	fields := r.settings(&m.settings)
	fields["disabled"] = r.boolean(&m.disabled)
	fields["command"] = func(n *yaml.Node) { m.command = r.command(n) }
	word := r.word(&m.mailbox, "host", "mqtt")
	fields["mailbox"] = func(n *yaml.Node) {
		if target(n).Kind == yaml.MappingNode {
			r.fail(n, "a module's mailbox is host or mqtt: the limit is the whole agent's, mailbox: {limit: …} outside of modules")
			return
		}
		word(n)
	}
	r.mapping(value, fields)
	return m
}

func (r *configReader) settings(s *settings) map[string]func(*yaml.Node) {
	return map[string]func(*yaml.Node){
		"engine":    r.word(&s.engine, EngineAuto, EngineYaegi, EngineGo, EngineExec),
		"isolation": r.word(&s.isolation, "process", "none"),
		"restart":   r.word(&s.restart, "always", "on-failure", "never"),
		"memory": func(n *yaml.Node) {
			bytes, err := parseSize(r.text(n))
			if err != nil && target(n).Kind == yaml.ScalarNode {
				r.fail(n, "%v", err)
			}
			s.memory = bytes
		},
		"grace": func(n *yaml.Node) {
			text := r.text(n)
			grace, err := time.ParseDuration(text)
			if (err != nil || grace < 0) && target(n).Kind == yaml.ScalarNode {
				r.fail(n, "bad time %q: want a number with its unit, as in 5s or 500ms", shortened(text))
			}
			s.grace = &grace
		},
		"env": func(n *yaml.Node) { s.env = r.env(n) },
	}
}

func (r *configReader) word(into *string, words ...string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		text := r.text(n)
		if target(n).Kind == yaml.ScalarNode && !slices.Contains(words, text) {
			r.fail(n, "%q is none of %s%s", shortened(text), strings.Join(words, ", "), nearest.Hint(text, words))
			return
		}
		*into = text
	}
}

func (r *configReader) boolean(into *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if err := target(n).Decode(into); err != nil || isNull(target(n)) {
			r.fail(n, "want true or false, not %s", describe(target(n)))
		}
	}
}

func (r *configReader) count(into *int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if err := target(n).Decode(into); err != nil || *into < 1 {
			*into = 0
			r.fail(n, "want a whole number from 1, not %s", describe(target(n)))
		}
	}
}

// text returns a scalar as it is written: 007 and yes stay what they are.
func (r *configReader) text(n *yaml.Node) string {
	n = target(n)
	if n.Kind != yaml.ScalarNode {
		r.fail(n, "want one value here, not %s", describe(n))
		return ""
	}
	return n.Value
}

func (r *configReader) globs(n *yaml.Node) (globs [][]string) {
	n = target(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "want a list of patterns, as in [\"*.csv\", chat/cache], not %s", describe(n))
		return nil
	}
	for _, item := range n.Content {
		if pattern := r.text(item); target(item).Kind == yaml.ScalarNode {
			glob, err := parseGlob(pattern)
			if err != nil {
				r.fail(item, "%v", err)
				continue
			}
			globs = append(globs, glob)
		}
	}
	return globs
}

// target is what an alias (*name) stands for.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// describe names what stands where something else was wanted.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	return strconv.Quote(shortened(n.Value))
}
