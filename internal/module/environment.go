package module

import (
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// environment is the environment of a module that shares its process: what it sets there is its own.
type environment struct {
	mu   sync.RWMutex
	vars map[string]string
}

// newEnvironment is the process's environment with more variables.
func newEnvironment(more map[string]string) *environment {
	e := &environment{vars: map[string]string{}}
	for _, entry := range Environ(nil) {
		key, value, _ := strings.Cut(entry, "=")
		e.vars[key] = value
	}
	maps.Copy(e.vars, more)
	return e
}

func (e *environment) lookup(key string) (string, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	value, ok := e.vars[key]
	return value, ok
}

func (e *environment) get(key string) string {
	value, _ := e.lookup(key)
	return value
}

func (e *environment) change(f func(vars map[string]string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e.vars)
}

// functions are those of package os.
func (e *environment) functions() map[string]any {
	return map[string]any{
		"Getenv":    e.get,
		"LookupEnv": e.lookup,
		"ExpandEnv": func(s string) string { return os.Expand(s, e.get) },
		"Clearenv":  func() { e.change(func(vars map[string]string) { clear(vars) }) },
		"Unsetenv":  func(key string) error { e.change(func(vars map[string]string) { delete(vars, key) }); return nil },
		"Setenv": func(key, value string) error {
			if key == "" || strings.ContainsAny(key, "=\x00") || strings.Contains(value, "\x00") {
				return os.NewSyscallError("setenv", os.ErrInvalid)
			}
			e.change(func(vars map[string]string) { vars[key] = value })
			return nil
		},
		"Environ": func() []string {
			e.mu.RLock()
			defer e.mu.RUnlock()
			out := make([]string, 0, len(e.vars))
			for _, key := range slices.Sorted(maps.Keys(e.vars)) {
				out = append(out, key+"="+e.vars[key])
			}
			return out
		},
	}
}
