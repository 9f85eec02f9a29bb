//go:build race

package interp

// beyondFault leaves nothing to the hardware: the race detector's build checks pointer arithmetic before any access.
const beyondFault = 0
