package describe

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Method is a method of the link.
type Method struct {
	Name, Description string
	ByHost            bool // the host calls it on its client, rather than the client on the host
	Notification      bool // it has no answer
	Params, Result    reflect.Type
	Example           *Pairing // nil: none
}

// Pairing is a call that was made, and its answer.
type Pairing struct {
	Params json.RawMessage `json:"params"`           // an object
	Result json.RawMessage `json:"result,omitempty"` // not there for notifications
}

// Errors are the errors that a method can answer with, by code.
type Errors map[int]string

type openRPC struct {
	OpenRPC string `json:"openrpc"`
	Info    info   `json:"info"`

	Methods    []rpcMethod   `json:"methods"`
	Components rpcComponents `json:"components"`
}

type info struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description,omitempty"`
}

type rpcMethod struct {
	Name           string     `json:"name"`
	Summary        string     `json:"summary"`
	Tags           []rpcTag   `json:"tags"`
	ParamStructure string     `json:"paramStructure"`
	Params         []rpcValue `json:"params"`
	Result         *rpcValue  `json:"result,omitempty"`
	Errors         []rpcRef   `json:"errors,omitempty"`
	Examples       []rpcPair  `json:"examples,omitempty"`
}

type rpcPair struct {
	Name   string       `json:"name"`
	Params []rpcExample `json:"params"`
	Result *rpcExample  `json:"result,omitempty"`
}

type rpcExample struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

type rpcTag struct {
	Name string `json:"name"`
}

type rpcValue struct {
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
	Required    bool    `json:"required,omitempty"`
	Schema      *Schema `json:"schema"`
}

type rpcRef struct {
	Ref string `json:"$ref"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

type rpcComponents struct {
	Schemas map[string]*Schema  `json:"schemas"`
	Errors  map[string]rpcError `json:"errors"`
}

// Tags of methods, for who looks for what there is.
const (
	tagClient       = "called by the client"
	tagHost         = "called by the host"
	tagNotification = "notification"
)

// OpenRPC returns the OpenRPC document (https://spec.open-rpc.org, 1.3) of methods, as JSON.
func OpenRPC(version, description string, methods []Method, errs Errors) ([]byte, error) {
	comments, err := readComments()
	if err != nil {
		return nil, err
	}
	told := newSchemas(comments) // by the host
	asked := told.inputs()
	document := openRPC{OpenRPC: "1.3.2", Info: info{Title: "coma", Version: version, Description: description}}
	refs, components := errorRefs(errs)
	document.Methods = make([]rpcMethod, len(methods))
	for i, m := range methods {
		method := rpcMethod{Name: m.Name, Summary: m.Description, Tags: []rpcTag{{tagClient}}, ParamStructure: "by-name", Params: []rpcValue{}, Errors: refs}
		if m.ByHost {
			method.Tags[0].Name = tagHost
		}
		if m.Notification {
			method.Tags = append(method.Tags, rpcTag{tagNotification})
			method.Errors = nil
		}
		document.Methods[i] = method
	}
	// What the host tells comes first: see schemas.
	for _, byHost := range []bool{true, false} {
		of := asked
		if byHost {
			of = told
		}
		for i, m := range methods {
			if m.ByHost == byHost {
				document.Methods[i].Params = params(of, m)
			} else if !m.Notification {
				document.Methods[i].Result = &rpcValue{Name: resultName(m.Result), Schema: of.of(m.Result)}
			}
		}
	}
	for i, m := range methods {
		if m.Example == nil {
			continue
		}
		pair, err := pairing(document.Methods[i], *m.Example)
		if err != nil {
			return nil, fmt.Errorf("read example of %s: %w", m.Name, err)
		}
		document.Methods[i].Examples = []rpcPair{pair}
	}
	document.Components = rpcComponents{told.named, components}
	text, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encode OpenRPC document: %w", err)
	}
	return text, nil
}

// pairing is an example of a method, with the parameters in the method's order.
func pairing(of rpcMethod, e Pairing) (rpcPair, error) {
	pair := rpcPair{Name: of.Name, Params: []rpcExample{}}
	var params map[string]json.RawMessage
	if err := json.Unmarshal(e.Params, &params); err != nil {
		return pair, err
	}
	for _, p := range of.Params {
		if value, ok := params[p.Name]; ok {
			pair.Params = append(pair.Params, rpcExample{p.Name, value})
		}
	}
	if of.Result != nil && e.Result != nil {
		pair.Result = &rpcExample{of.Result.Name, e.Result}
	}
	return pair, nil
}

// params are a method's parameters; required ones stand first, as the specification asks.
func params(of *schemas, m Method) []rpcValue {
	all := []rpcValue{}
	for _, f := range fields(m.Params) {
		value := of.value(f)
		all = append(all, rpcValue{f.name, joined(of.comments.field(f), value.Description), of.requires(f), value})
	}
	slices.SortStableFunc(all, func(a, b rpcValue) int { return boolOrder(b.Required) - boolOrder(a.Required) })
	return all
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

func resultName(t reflect.Type) string {
	if name := t.Name(); name != "" {
		return strings.ToLower(name[:1]) + name[1:]
	}
	return "list"
}

func errorRefs(errs Errors) (refs []rpcRef, components map[string]rpcError) {
	components = map[string]rpcError{}
	codes := []int{}
	for code := range errs {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for _, code := range codes {
		name := fmt.Sprintf("E%d", code)
		components[name] = rpcError{code, errs[code]}
		refs = append(refs, rpcRef{"#/components/errors/" + name})
	}
	return refs, components
}
