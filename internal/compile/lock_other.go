//go:build !unix

package compile

// lock does nothing: modules as processes need Unix, and agents are built one at a time.
func lock(string) (unlock func() error, err error) { return func() error { return nil }, nil }
