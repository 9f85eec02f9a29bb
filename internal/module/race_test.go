//go:build race && unix

package module

func init() { hasHardLimit = false }
