// Package rtype builds Go types while the program runs: defined types with methods, structs with embedded fields,
// interfaces. They are types of the running program in every respect: fmt, encoding/json, errors.As, text/template,
// type assertions in compiled code and the garbage collector treat them as they treat the types that the compiler
// made, because they are described by the same records in memory.
//
// Package reflect can make slices, maps, functions and plain structs at run time, but nothing that has a name or a
// method. The interpreter needs both: the types that a module declares.
//
// How to read it: named.go is the heart (a type is born, gets its layout, gets its methods), struct.go and
// interface.go make the unnamed types that reflect cannot. Under them, method.go turns Go closures into the code
// addresses that a method table holds, with the help of the entry points in entry_*.s; func.go makes func values in the
// same way. Both run code that works on memory (frame.go), fast for the commonest signatures (quick.go). descriptor.go
// states the records as the runtime knows them, arena.go says where they live. check.go compares all of this with the
// running Go before anything is built on it.
//
// A type lives as long as the process: interface values and the runtime's caches hold types by addresses that the
// garbage collector does not follow. What is reloaded often should therefore reuse its types: SetMethods on a type
// that has methods already puts new code behind them.
package rtype
