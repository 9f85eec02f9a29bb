//go:build !unix

package access

// private is false where file modes say nothing about others.
const private = false
