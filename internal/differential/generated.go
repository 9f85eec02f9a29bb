package differential

import (
	"errors"
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/differential/generate"
)

// Generated makes n programs from the seeds from first on, and asks compiled Go, in one build, what they say.
func Generated(first uint64, n int) (programs []Program, err error) {
	if n == 0 {
		return nil, nil
	}
	for i := range n {
		seed := first + uint64(i)
		programs = append(programs, Program{
			Kind: "generated", Name: fmt.Sprintf("seed%d", seed), Valid: true,
			Files: map[string]string{"program.go": generate.Program(seed)},
		})
	}
	build, err := Compile(programs)
	if err != nil {
		return nil, fmt.Errorf("generate programs: %w", err)
	}
	defer func() { err = errors.Join(err, build.Close()) }()
	for i := range programs {
		outcome := build.Run(programs[i].Name)
		if outcome.Verdict != Said {
			return nil, fmt.Errorf("generate programs: compiled %s %s: %s", programs[i].Name, outcome.Verdict, outcome.Text)
		}
		programs[i].Want = outcome.Text
	}
	return programs, nil
}
