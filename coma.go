// Package coma is all that the author of a module imports.
//
// An agent is made of modules that run at the same time, talk by messages and share one memory. A module is a folder
// (or a single file) with one Go package, of any name, that has a function Run:
//
//	package listener
//
//	import (
//		"context"
//
//		"github.com/concurrent-modular-agent/coma"
//	)
//
//	func Run(ctx context.Context, agent *coma.Agent) error {
//		for {
//			msg, err := agent.Receive(ctx)
//			if err != nil {
//				return err
//			}
//			agent.Log("heard:", msg.Text)
//		}
//	}
//
// "coma run <project>" starts every module of a project, each in a process of its own, and reloads a module when one of
// its files changes. Run returning nil means that the module is done; an error or a panic means that it failed, and it
// is started again after a while. When ctx ends (a reload, a stop, Ctrl-C) Run should return soon: returning ctx's own
// error is a clean end.
//
// # What survives
//
// A module can be replaced or can die at any time; what must survive lives in the host. Messages wait in the module's
// mailbox: a message leaves it when the module has finished with it, which is its next Receive or Run's return of nil. When
// Run returns an error, ctx's own too, the module's next generation gets the message again. Small values pass from one
// generation to the next by Keep and Kept. What the agent as a whole should know is in its Memory.
package coma

import "context"

// RunFunc is the type of a module's Run.
type RunFunc = func(ctx context.Context, agent *Agent) error
