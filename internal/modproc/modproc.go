// Package modproc is a module's process from the inside, whatever turns the module's source into something that runs:
// the interpreter, or the Go compiler. A compiled module links this package and little else, so nothing here may import
// an engine, the broker or the memory.
//
// Read it in this order:
//
//   - protocol.go: what host and process tell each other, over which descriptors
//   - failure.go: why source does not load, why a module died: the words of that protocol
//   - engine.go, main.go: the process's whole life, from the first order to the last report
//   - function.go: the engine of a compiled module
//   - memory.go: the bound on what the process may use
//   - crash.go: the host's side of descriptor 2, where the Go runtime's last words arrive
package modproc

import "github.com/concurrent-modular-agent/coma/internal/api"

// Source is a module's code as it lies on disk.
type Source struct {
	Name       string   `json:"name"`        // module name
	Dir        string   `json:"dir"`         // the module's folder, absolute; of a single file: the project folder
	GoFiles    []string `json:"go_files"`    // absolute; this package's files
	ProjectDir string   `json:"project_dir"` // absolute
	ModulePath string   `json:"module_path"` // import path of ProjectDir: shared packages are ModulePath + "/sub/folder"

	// GoVersion is the language version that the project's go.mod asks for, as "go1.21"; "": the newest.
	GoVersion string `json:"go_version,omitempty"`

	// Text is the content of the files, and of those of the project's packages that they import, by their absolute
	// names: a generation that is to be started again must not depend on what has become of the files. nil: it is read
	// from disk.
	Text map[string]string `json:"text,omitempty"`
}

// Assignment is what the process is to be, as far as the environment does not say it.
type Assignment struct {
	Source      Source       `json:"source"`
	Identity    api.Identity `json:"identity"`
	MemoryLimit int64        `json:"memory_limit,omitempty"` // bytes; 0: none

	// Command is what is to be started if the module is a program of its own, in another language: see Alone.
	Command []string `json:"command,omitempty"`
	// StopAll says that the request to stop goes to what the program has started, too.
	StopAll bool `json:"stop_all,omitempty"`
}
