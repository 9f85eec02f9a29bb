package project

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxNameBytes bounds the names of agents and modules, so that both fit an MQTT topic and a file name.
const maxNameBytes = 128

// CheckName says why name cannot be an agent's or a module's, or returns nil. A name is a part of MQTT topics (so no +, #, / and
// no $ in front), of "agent/module" addresses and of lines on a terminal.
func CheckName(name string) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("bad name %q: %s", shortened(name), fmt.Sprintf(format, args...))
	}
	switch {
	case name == "":
		return bad("it is empty")
	case name == "." || name == "..":
		return bad("it means a folder, wherever names become file names")
	case len(name) > maxNameBytes:
		return bad("it is %d bytes long, %d are allowed", len(name), maxNameBytes)
	case !utf8.ValidString(name):
		return bad("it is not UTF-8")
	case strings.ContainsFunc(name, unicode.IsControl):
		return bad("it holds a control character")
	case strings.TrimSpace(name) != name:
		return bad("it begins or ends with a space")
	case strings.HasPrefix(name, "$"):
		return bad("it begins with $, which MQTT keeps for brokers")
	}
	if i := strings.IndexAny(name, "+#/"); i >= 0 {
		return bad("it holds %q, which MQTT topics give a meaning of their own", name[i:i+1])
	}
	return nil
}

// shortened keeps a message readable whatever a file puts into it.
func shortened(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
