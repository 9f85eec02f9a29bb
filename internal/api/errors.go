package api

import "errors"

// Errors that cross between host and module; they keep their identity over the link (see Code).
var (
	ErrNoInput      = errors.New("no one to ask: the console is closed")
	ErrNotFound     = errors.New("not found")
	ErrUnknown      = errors.New("unknown module")
	ErrInvalid      = errors.New("invalid argument")
	ErrTooLarge     = errors.New("too large")
	ErrReplaced     = errors.New("session replaced by a newer generation")
	ErrClosed       = errors.New("session closed")
	ErrUnauthorized = errors.New("not authorized")
	ErrInUse        = errors.New("already in use")
)

// codes are the JSON-RPC error codes of those errors, in the range that JSON-RPC 2.0 leaves to applications.
var codes = map[int]error{
	1001: ErrNoInput,
	1002: ErrNotFound,
	1003: ErrUnknown,
	1004: ErrInvalid,
	1005: ErrTooLarge,
	1006: ErrReplaced,
	1007: ErrClosed,
	1008: ErrUnauthorized,
	1009: ErrInUse,
}

// Code returns the JSON-RPC error code of err, or 1000 for an error of no special kind.
func Code(err error) int {
	for code, known := range codes {
		if errors.Is(err, known) {
			return code
		}
	}
	return 1000
}

// Error rebuilds an error from its code and message, so that errors.Is works on the far side.
func Error(code int, message string) error {
	return &remoteError{known: codes[code], message: message}
}

type remoteError struct {
	known   error
	message string
}

func (e *remoteError) Error() string { return e.message }
func (e *remoteError) Unwrap() error { return e.known }
