package project

import (
	"errors"
	"fmt"
	"math/bits"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/uplink"
)

// minMemory catches the forgotten unit (memory: 512): no program runs in less.
const minMemory = 1 << 20

// parseSize reads bytes: a whole number, alone or with KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024).
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGiBkmgb ")
	unit := strings.TrimSpace(text[len(digits):])
	factors := map[string]uint64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
	factor, known := factors[unit]
	number, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || !known {
		return 0, fmt.Errorf("bad size %q: want a whole number with its unit (KiB, MiB, GiB, KB, MB, GB), as in 256MiB", shortened(text))
	}
	high, size := bits.Mul64(number, factor)
	switch {
	case high != 0 || int64(size) < 0:
		return 0, fmt.Errorf("bad size %q: too large", shortened(text))
	case size < minMemory:
		return 0, fmt.Errorf("bad size %q: less than 1MiB; is its unit missing, as in 256MiB?", shortened(text))
	}
	return int64(size), nil
}

// parseAge reads a time above 0: as Go writes it (720h, 90m), or in whole days (30d).
func parseAge(text string) (time.Duration, error) {
	age, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		const day, most = 24 * time.Hour, 100_000
		var n uint64
		if n, err = strconv.ParseUint(days, 10, 32); n > most {
			return 0, fmt.Errorf("bad time %q: too long", shortened(text))
		}
		age = time.Duration(n) * day
	}
	if err != nil || age <= 0 {
		return 0, fmt.Errorf("bad time %q: want a number above 0 with its unit, as in 720h or 30d", shortened(text))
	}
	return age, nil
}

func (r *configReader) age(into *time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		age, err := parseAge(r.text(n))
		if err != nil && target(n).Kind == yaml.ScalarNode {
			r.fail(n, "%v", err)
		}
		*into = age
	}
}

// embedder reads the name of an embedder. Whether it has its key, and answers, is not looked at here.
func (r *configReader) embedder(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		text := r.text(n)
		if target(n).Kind != yaml.ScalarNode {
			return
		}
		if text == "" {
			r.fail(n, "want an embedder: %s", strings.Join(embed.Known(), ", "))
			return
		}
		if _, err := embed.Parse(text); err != nil {
			r.fail(n, "%s", strings.TrimSuffix(err.Error(), ": "+api.ErrInvalid.Error()))
			return
		}
		*into = text
	}
}

// address reads the URL of a backend.
func (r *configReader) address(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		text := r.text(n)
		if target(n).Kind != yaml.ScalarNode {
			return
		}
		if err := CheckAddress(text); err != nil {
			r.fail(n, "%v", err)
			return
		}
		*into = text
	}
}

// CheckAddress checks the URL of another machine's backend. The error shows no password that may stand in it.
func CheckAddress(text string) error {
	u, err := url.Parse(text)
	if err == nil && u.User != nil {
		return errors.New("an address is no place for a password: put it into COMA_MEMORY_TOKEN, as user:password")
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("want the address of a backend, http://host:port or https://host:port, not %q", uplink.Redact(text))
	}
	return nil
}

// command reads what is started in place of a module's program: a list of words. A word alone is a list of one.
func (r *configReader) command(n *yaml.Node) []string {
	items := []*yaml.Node{n}
	if target(n).Kind == yaml.SequenceNode {
		items = target(n).Content
	}
	var words []string
	for _, item := range items {
		word := r.text(item)
		if target(item).Kind == yaml.ScalarNode && strings.Contains(word, "\x00") {
			r.fail(item, "the command holds a NUL, which no command can")
		}
		words = append(words, word)
	}
	if len(words) == 0 || words[0] == "" || isNull(target(items[0])) {
		r.fail(n, "want a command as a list of words, as in [python3, -X, dev, main.py]")
		return nil
	}
	return words
}

// reservedEnv is what the host tells a module by (design §3).
var reservedEnv = regexp.MustCompile(`^COMA_(AGENT|MODULE|GENERATION|API|BROKER|TOKEN|HTTP|MAILBOX|INSTANCE)$`)

func (r *configReader) env(n *yaml.Node) map[string]string {
	env := make(map[string]string)
	r.pairs(n, func(key, value *yaml.Node) {
		name := key.Value
		if name == "" || strings.ContainsAny(name, "=\x00") {
			r.fail(key, "bad environment name %q", shortened(name))
			return
		}
		if reservedEnv.MatchString(name) {
			r.fail(key, "%s is set by coma itself", name)
			return
		}
		if isNull(target(value)) {
			r.fail(value, "%s has no value; write \"\" for an empty one", shortened(name))
			return
		}
		text, missing := expand(r.text(value), r.lookup)
		for _, name := range missing {
			r.fail(value, "the environment has no %s; set it, or write the value here", shortened(name))
		}
		if strings.Contains(text, "\x00") {
			r.fail(value, "%s holds a NUL, which no environment can", shortened(name))
		}
		env[name] = text
	})
	return env
}

// reference is ${NAME}, or $${…}, which stays as ${…}.
var reference = regexp.MustCompile(`\$?\$\{([^{}]*)\}`)

// expand puts the host's environment in for ${NAME}; any other $ stays. It names what is not there.
func expand(text string, lookup func(string) (string, bool)) (expanded string, missing []string) {
	return reference.ReplaceAllStringFunc(text, func(match string) string {
		if strings.HasPrefix(match, "$$") {
			return match[1:]
		}
		name := match[2 : len(match)-1]
		value, ok := lookup(name)
		if !ok {
			missing = append(missing, name)
		}
		return value
	}), missing
}
