// Package differential shows that interpreted Go is Go: it runs the same programs compiled by the toolchain and
// interpreted by package interp, and compares what they say, byte for byte.
//
// How to read it:
//
//   - program.go: a program of the corpus, testdata/programs/<kind>/<name>.txtar, and what compiled Go says of it
//   - compiled.go: many programs built at once by the toolchain, and run
//   - interpreted.go: one program run by the interpreter; peer.go: by yaegi, for comparison
//   - worker.go, pool.go: processes that run programs, so that one that crashes or hangs is counted rather than mourned
//   - table.go: the counts: same, refused, wrong, crashed
//   - generate/: programs made from a seed, right by construction
//   - modules_test.go, testdata/modules/: whole modules, as authors write them, run both ways
//   - counts/: the command behind "make differential"
//
// What a program says is the string that its func Main returns, or the panic that leaves Main. The text that is wanted
// is never written by hand: "go run ./internal/differential/counts -update" asks compiled Go.
package differential
