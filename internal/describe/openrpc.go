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
}

type rpcTag struct {
	Name string `json:"name"`
}

type rpcValue struct {
	Name     string  `json:"name"`
	Required bool    `json:"required,omitempty"`
	Schema   *Schema `json:"schema"`
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
	made := newSchemas()
	document := openRPC{OpenRPC: "1.3.2", Info: info{Title: "coma", Version: version, Description: description}}
	refs, components := errorRefs(errs)
	for _, m := range methods {
		method := rpcMethod{Name: m.Name, Summary: m.Description, Tags: []rpcTag{{tagClient}}, ParamStructure: "by-name", Params: []rpcValue{}, Errors: refs}
		if m.ByHost {
			method.Tags[0].Name = tagHost
		}
		for _, f := range fields(m.Params) {
			method.Params = append(method.Params, rpcValue{f.name, f.required, made.field(f)})
		}
		// Required ones stand first, as the specification asks.
		slices.SortStableFunc(method.Params, func(a, b rpcValue) int { return boolOrder(b.Required) - boolOrder(a.Required) })
		if m.Notification {
			method.Tags = append(method.Tags, rpcTag{tagNotification})
			method.Errors = nil
		} else {
			method.Result = &rpcValue{Name: resultName(m.Result), Schema: made.of(m.Result)}
		}
		document.Methods = append(document.Methods, method)
	}
	document.Components = rpcComponents{made.named, components}
	text, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encode OpenRPC document: %w", err)
	}
	return text, nil
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
