//go:build unix && (!linux || race)

package modproc

// hardLimit does nothing: other systems have no limit that counts what a Go process really uses, and the race detector
// maps far more than it uses. A single huge allocation is not refused there; the look after each collection still ends
// the module.
func hardLimit(int64) {}
