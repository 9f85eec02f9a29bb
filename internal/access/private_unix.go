//go:build unix

package access

// private says that file modes tell who can read a file.
const private = true
