package compile

import (
	"regexp"
	"runtime"
	"runtime/debug"

	"github.com/concurrent-modular-agent/coma/internal/scaffold"
)

// comaPath is coma's module path.
const comaPath = "github.com/concurrent-modular-agent/coma"

// origin is where this program's own coma came from. Compiled modules use the very same, whatever version the project's
// go.mod names for editors: the process that they become speaks with this program, and the interpreter, too, gives
// modules this program's package coma.
type origin struct {
	dir     string // a checkout on this machine
	version string // else: a version that can be downloaded
}

// comaOrigin returns what is known. Both fields are empty for a program that was built from a checkout which is not here
// any more: then it is the project's go.mod that has to say where coma is.
func comaOrigin() origin {
	_, file, _, _ := runtime.Caller(0)
	if dir := scaffold.Source(file); dir != "" {
		return origin{dir: dir}
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return origin{}
	}
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == comaPath && module.Replace == nil && released.MatchString(module.Version) {
			return origin{version: module.Version}
		}
	}
	return origin{}
}

// released matches versions that can be downloaded: tags and pseudo-versions, but not those of a changed checkout (+dirty).
var released = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)
