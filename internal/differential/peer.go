package differential

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing/fstest"

	yaegiinterp "github.com/traefik/yaegi/interp"
	yaegistdlib "github.com/traefik/yaegi/stdlib"
	yaegiunsafe "github.com/traefik/yaegi/stdlib/unsafe"
)

// yaegi loads a program into yaegi: for the record of what its peer does on the same programs.
func yaegi(p Program) (main func() string, err error) {
	defer func() { // it panics on what it cannot compile
		if cause := recover(); cause != nil {
			err = &refusal{fmt.Sprintf("panic: %v", cause)}
		}
	}()
	tree := fstest.MapFS{}
	for name, text := range p.Files {
		tree["src/"+p.Path()+"/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	in := yaegiinterp.New(yaegiinterp.Options{SourcecodeFilesystem: tree, Unrestricted: true})
	if err := errors.Join(in.Use(yaegistdlib.Symbols), in.Use(yaegiunsafe.Symbols)); err != nil {
		return nil, err
	}
	if _, err := in.EvalWithContext(context.Background(), fmt.Sprintf("import peer %q", p.Path())); err != nil {
		return nil, &refusal{err.Error()}
	}
	value, err := in.Eval("peer.Main")
	if err != nil {
		return nil, &refusal{err.Error()}
	}
	main, ok := value.Interface().(func() string)
	if !ok {
		return nil, &refusal{"Main is " + reflect.TypeOf(value.Interface()).String()}
	}
	return main, nil
}
