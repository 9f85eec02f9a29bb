package project

import "fmt"

// Error is one reason why a project cannot run as it stands. It is the user's to mend: exit code 2.
type Error struct {
	File         string // relative to the project ("coma.yaml"), or the folder as it was given to Load
	Line, Column int    // from 1; 0 where there is none
	Msg          string
	Err          error // what it came from, or nil: errors.Is(err, fs.ErrNotExist) says that the folder is gone
}

// Error is `coma.yaml:3:5: …`, as compilers write it and editors open it.
func (e *Error) Error() string { return position(e.File, e.Line, e.Column) + e.Msg }

func (e *Error) Unwrap() error { return e.Err }

func position(file string, line, column int) string {
	switch {
	case file == "":
		return ""
	case line == 0:
		return file + ": "
	case column == 0:
		return fmt.Sprintf("%s:%d: ", file, line)
	}
	return fmt.Sprintf("%s:%d:%d: ", file, line, column)
}
