// Package soak has the long tests: real agents, run by the real binary, whose modules are edited and killed again and again
// while they exchange numbered messages. They are short by default and run at full length by "make soak".
package soak
