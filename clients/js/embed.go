// Package js is the JavaScript client, for Go programs that hand it to Node: coma run does, so that a module can import
// "coma" with nothing installed. coma.js is the library; js_test.go runs its tests (test/*.test.js) against a real backend.
package js

import "embed"

// Files are the npm package "coma". Written to <folder>/node_modules/coma, they are found by
//
//	node --import file://<folder>/node_modules/coma/register.js main.js
//
// for import, and with NODE_PATH=<folder>/node_modules for require (from Node 20.19 on).
//
//go:embed package.json coma.js coma.d.ts register.js
var Files embed.FS
