// Package interp runs Go from source, exactly as a compiled program would run.
//
// go/types has checked the source (package check), go/ssa lowers it to a small instruction set, and this package turns
// each SSA function into Go closures that work on real memory. Two decisions carry the rest:
//
//   - Every value has the memory layout that the Go compiler gives its type, in registers (frame), on the heap and
//     inside channels and maps, which are the runtime's own. So values cross between interpreted and compiled code
//     without conversion.
//   - Every type that the source declares becomes a type of the Go runtime, with its name, fields and methods (package
//     rtype). So fmt, encoding/json, errors.As or text/template, which look at values by reflection or by their
//     methods, see what they would see in a compiled program.
//
// Read it in this order:
//
//   - program.go: from checked packages to a Program; what the rest of coma calls
//   - types.go: from go/types to runtime types; typepool.go: how these outlive their program
//   - function.go: one function: its registers and how it is compiled, block by block; frame.go: how it runs
//   - instruction.go and, by subject, arithmetic.go, convert.go, aggregate.go, mapping.go, dynamic.go (interfaces),
//     channel.go, call.go, builtin.go: one SSA instruction each to a closure
//   - unwind.go: defer, panic, recover, Goexit; trace.go: where a panic was
//   - host.go: functions, methods and variables of compiled packages; entry.go: how these call interpreted code
//   - memory.go: the unsafe part that the others stand on
package interp
