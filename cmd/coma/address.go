package main

import (
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/project"
)

// address splits "agent/module".
func address(text string) (agent, module string, err error) {
	agent, module, ok := strings.Cut(text, "/")
	if !ok {
		return "", "", usagef("%q: want agent/module, as in garden/greeter", text)
	}
	for _, name := range []string{agent, module} {
		if err := project.CheckName(name); err != nil {
			return "", "", usagef("%q: %w", text, err)
		}
	}
	return agent, module, nil
}
