//go:build !race

package interp

// beyondFault is the first offset at which access through a nil pointer is no longer the hardware's to notice.
const beyondFault = 4096
