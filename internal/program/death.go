package program

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// Death says why a program ended: by what its standard error's last lines tell, which an interpreter has written, else by
// its status. memoryLimit is what it was held to, in bytes.
func (p *Program) Death(ended modproc.Ended, lines []string, memoryLimit int64) *modproc.Failure {
	if ended.Signal != 0 {
		if syscall.Signal(ended.Signal) == syscall.SIGABRT && slices.ContainsFunc(lines, nodeOutOfMemory) {
			return modproc.MemoryFailure(memoryLimit)
		}
		return &modproc.Failure{Cause: "killed by " + modproc.SignalName(syscall.Signal(ended.Signal))}
	}
	var failure *modproc.Failure
	switch p.language() {
	case Python:
		failure = p.pythonDeath(lines)
	case Node:
		failure = p.nodeDeath(lines)
	case Shell:
		failure = p.shellDeath(ended.Status, lines)
	default:
		crash := modproc.ReadCrash([]byte(strings.Join(lines, "\n")), p.ProjectDir) // of a program in Go
		if crash.Cause != "" {
			failure = &modproc.Failure{Cause: crash.Cause, Frames: crash.Frames}
		}
	}
	if failure != nil {
		failure.Cause = modproc.Clipped(failure.Cause, modproc.MaxCause)
		failure.Frames = failure.Frames[:min(len(failure.Frames), modproc.MaxFrames)]
		return failure
	}
	failure = &modproc.Failure{Cause: fmt.Sprintf("exit status %d", ended.Status)}
	for _, last := range slices.Backward(lines) {
		if strings.TrimSpace(last) != "" {
			failure.Detail = []string{modproc.Clipped(last, modproc.MaxCause)}
			break
		}
	}
	return failure
}

// own is a place in the project's own files as it is shown; packages that are installed in the project are not its own.
func (p *Program) own(file string, line int, function string) (modproc.Frame, bool) {
	if unescaped, ok := strings.CutPrefix(file, "file://"); ok {
		if path, err := url.PathUnescape(unescaped); err == nil {
			file = path
		}
	}
	if strings.HasPrefix(file, "<") {
		return modproc.Frame{}, false // text that is in no file: "<string>", "<frozen importlib._bootstrap>"
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(p.Dir, file)
	}
	shown := modproc.ShownFile(file, p.ProjectDir)
	for part := range strings.SplitSeq(shown, "/") {
		if slices.Contains([]string{"", "..", "node_modules", "site-packages", ".venv", "venv"}, part) {
			return modproc.Frame{}, false // "": it is absolute
		}
	}
	return modproc.Frame{File: shown, Line: line, Function: function}, true
}

// afterTraceback is how many lines may follow a traceback: the rest of the exception's text, and what is said at exit.
const afterTraceback = 30

var pythonFrame = regexp.MustCompile(`^(?:  \| )?  File "(.*)", line (\d+)(?:, in (.*))?$`)

// pythonDeath reads the last traceback that is not about a thread, a task or a destructor: those end no program.
func (p *Program) pythonDeath(lines []string) *modproc.Failure {
	for i := len(lines) - 1; i >= 0; i-- {
		if !strings.HasPrefix(lines[i], "Traceback (most recent call last)") && !strings.HasPrefix(lines[i], "  + Exception Group Traceback") {
			continue
		}
		before := ""
		if i > 0 {
			before = lines[i-1]
		}
		if strings.HasPrefix(before, "Exception in thread ") || strings.HasPrefix(before, "Exception ignored in") || strings.HasPrefix(before, "future: ") {
			continue
		}
		failure := &modproc.Failure{}
		for j := i + 1; j < len(lines); j++ {
			text := strings.TrimPrefix(lines[j], "  | ")
			if at := pythonFrame.FindStringSubmatch(lines[j]); at != nil {
				function := at[3]
				if function == "<module>" {
					function = ""
				}
				if frame, ok := p.own(at[1], number(at[2]), function); ok {
					failure.Frames = append(failure.Frames, frame)
				}
				continue
			}
			if text == "" || text[0] == ' ' {
				continue // the line of a frame, and the marks below it
			}
			if len(lines)-j > afterTraceback {
				return nil
			}
			failure.Cause = text
			slices.Reverse(failure.Frames)
			return failure
		}
		return nil // it is cut off
	}
	return nil
}

var (
	nodeHeader = regexp.MustCompile(`^((?:file://|node:)?\S.*):(\d+)$`)
	nodeFrame  = regexp.MustCompile(`^    at (?:async )?(?:(.*) \()?((?:file://)?/[^()]*):(\d+):(\d+)\)?(?: \{)?$`)
)

// nodeDeath reads what Node says at last: the place, its line with a mark below, the error with its stack, the version.
func (p *Program) nodeDeath(lines []string) *modproc.Failure {
	end := len(lines) - 1
	for end >= 0 && !strings.HasPrefix(lines[end], "Node.js v") {
		end--
	}
	begin, mark := -1, -1
	for i := end - 1; i >= 0 && mark < 0; i-- { // an error's own text may look like a place: the one with a mark below counts
		if i+2 < end && nodeHeader.MatchString(lines[i]) && strings.Trim(lines[i+2], " \t^") == "" && strings.Contains(lines[i+2], "^") {
			begin, mark = i, i+2
		}
	}
	if begin < 0 {
		return nil
	}
	failure := &modproc.Failure{}
	for _, text := range lines[mark+1 : end] {
		at := nodeFrame.FindStringSubmatch(text)
		switch {
		case at != nil:
			function := at[1]
			if strings.HasPrefix(function, "Object.<anonymous>") {
				function = ""
			}
			if frame, ok := p.own(at[2], number(at[3]), function); ok {
				frame.Column = number(at[4])
				failure.Frames = append(failure.Frames, frame)
			}
		case failure.Cause == "" && strings.TrimSpace(text) != "":
			failure.Cause = strings.TrimSpace(text)
		}
	}
	if _, reason, ok := strings.Cut(failure.Cause, "The promise rejected with the reason "); ok {
		failure.Cause = "unhandled rejection: " + strings.TrimSuffix(reason, ".")
	}
	if failure.Cause == "" {
		return nil
	}
	if at := nodeHeader.FindStringSubmatch(lines[begin]); len(failure.Frames) == 0 {
		if frame, ok := p.own(at[1], number(at[2]), ""); ok && !strings.HasPrefix(at[1], "node:") {
			frame.Column = strings.IndexByte(lines[mark], '^') + 1
			failure.Frames = append(failure.Frames, frame)
		}
	}
	return failure
}

// nodeOutOfMemory is what Node says when its heap is full, which it was told to keep below the memory limit.
func nodeOutOfMemory(line string) bool {
	return strings.HasPrefix(line, "FATAL ERROR: ") && strings.HasSuffix(line, "heap out of memory")
}

// The statuses by which a shell ends because of an error of its own: those that it has, and those of commands that it
// cannot start.
var shellStatuses = []int{1, 2, 126, 127}

var shellError = regexp.MustCompile(`^(.*?): (?:line )?(\d+): (.+)$`)

// shellDeath reads the last line: file: line 3: what.
func (p *Program) shellDeath(status int, lines []string) *modproc.Failure {
	if len(lines) == 0 || !slices.Contains(shellStatuses, status) {
		return nil
	}
	at := shellError.FindStringSubmatch(lines[len(lines)-1])
	if at == nil {
		return nil
	}
	frame, ok := p.own(at[1], number(at[2]), "")
	if !ok || !isFile(filepath.Join(p.ProjectDir, filepath.FromSlash(frame.File))) {
		return nil
	}
	return &modproc.Failure{Cause: fmt.Sprintf("%s (exit status %d)", at[3], status), Frames: []modproc.Frame{frame}}
}
