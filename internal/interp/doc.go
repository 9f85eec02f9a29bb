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
//   - program.go: from checked packages to a Program; what the rest of coma calls. interrupt.go: how one is ended
//   - types.go: from go/types to runtime types; typepool.go: how these outlive their program
//   - function.go: how one function is compiled, block by block; frame.go: how it runs. layout.go and register.go: where
//     its values are; phi.go: what happens between blocks
//   - order.go, with late.go and statement.go: when a statement's variables are read. Go leaves that open, and go/ssa
//     does it otherwise than the Go compiler
//   - instruction.go and, by subject, address.go (loads and stores), arithmetic.go, condition.go, convert.go,
//     aggregate.go, mapping.go, dynamic.go (interfaces), channel.go, call.go, closure.go, builtin.go, rangefunc.go: one
//     SSA instruction each to a closure; unevaluated.go: what Go does not evaluate, though go/ssa would
//   - unwind.go: defer, panic, recover, Goexit; trace.go: where a panic was; uncaught.go: when nobody recovers it;
//     runtimeerror.go: errors of the runtime's own types
//   - host.go: functions, methods and variables of compiled packages, direct.go: quick calls of them; entry.go: how these
//     call interpreted code; stack.go: those that look at their callers
//   - memory.go: the unsafe part that the others stand on
package interp
