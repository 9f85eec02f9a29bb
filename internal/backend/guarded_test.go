package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// nobodysSeat is the seat of a module of which nothing but the name may be asked.
type nobodysSeat struct{ link.Seat }

func (nobodysSeat) Identity() api.Identity { return api.Identity{Agent: "garden", Module: "x"} }

// Every method that an interface has, and will have, asks what the user may: it is called as a stranger, and what it
// stands before is nil.
func TestEveryMethodAsksWhatTheUserMay(t *testing.T) {
	b := openAt(t, func(*Options) {})
	host := b.as(access.Identity{})
	g, ok := host.(*guarded)
	if !ok {
		t.Fatal("a stranger is given the backend itself")
	}
	for _, test := range []struct {
		form   reflect.Type
		value  any
		exempt string // what tells nothing and changes nothing, or only ends what was given
	}{
		{reflect.TypeFor[link.Local](), host, "Agents Memories Unseat"},
		{reflect.TypeFor[link.Seat](), &guardedSeat{nobodysSeat{}, g}, "Identity Hand Feed Memory TrySend Close"},
		{reflect.TypeFor[api.OpenedMemory](), &guardedMemory{nil, g, "garden"}, "Close"},
	} {
		for i := range test.form.NumMethod() {
			name := test.form.Method(i).Name
			if strings.Contains(" "+test.exempt+" ", " "+name+" ") {
				continue
			}
			if err := call(t.Context(), reflect.ValueOf(test.value).MethodByName(name)); !errors.Is(err, api.ErrUnauthorized) {
				t.Errorf("%s.%s does not ask what the user may: %v", test.form, name, err)
			}
		}
	}
	if (&guardedSeat{nobodysSeat{}, g}).TrySend(api.Message{To: "x"}) {
		t.Error("TrySend sends without asking")
	}
	if agents, err := host.Agents(t.Context()); err != nil || len(agents) > 0 {
		t.Errorf("a stranger is told of agents %v, %v", agents, err)
	}
	if memories, err := host.Memories(t.Context(), true); err != nil || len(memories) > 0 {
		t.Errorf("a stranger is told of memories %v, %v", memories, err)
	}
}

// call calls a method with zero values and returns its error; a panic is one, too.
func call(ctx context.Context, method reflect.Value) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it went through: %v", p)
		}
	}()
	args := []reflect.Value{reflect.ValueOf(ctx)}
	for i := 1; i < method.Type().NumIn(); i++ {
		args = append(args, reflect.Zero(method.Type().In(i)))
	}
	results := method.Call(args)
	err, _ = results[len(results)-1].Interface().(error)
	return err
}

// Every route of the REST API goes by what the user may.
func TestEveryRouteAsksWhatTheUserMay(t *testing.T) {
	b := openAt(t, func(*Options) {})
	if err := b.CreateMemory(t.Context(), "garden", ""); err != nil {
		t.Fatal(err)
	}
	routes := b.routes(b.listen.collections)
	ask := func(id access.Identity, method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(withIdentity(t.Context(), id), method, path, strings.NewReader(body))
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, r)
		return w
	}
	var described struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(ask(access.Owner(), "GET", "/openapi.json", "").Body.Bytes(), &described); err != nil {
		t.Fatal(err)
	}
	if len(described.Paths) == 0 {
		t.Fatal("no route is described")
	}
	names := strings.NewReplacer("{agent}", "garden", "{module}", "x", "{id}", "1")
	bodies := map[string]string{
		"/v1/memories/{agent}/query":    `{"text":"x"}`,
		"/v1/memories/{agent}/retrieve": `{"by_time":{}}`,
		"/v1/memories/{agent}/records":  `{"records":[{"id":"1","text":"x"}]}`,
	}
	for path, methods := range described.Paths {
		for method := range methods {
			body := bodies[path]
			if body == "" {
				body = "{}"
			}
			want, text := http.StatusForbidden, ""
			switch method + " " + path {
			case "get /v1/agents", "get /v1/memories":
				want, text = http.StatusOK, "[]"
			case "get /v1/agents/{agent}", "get /v1/agents/{agent}/modules/{module}", "get /v1/memories/{agent}":
				want = http.StatusNotFound // as if it were not there
			}
			w := ask(access.Identity{}, strings.ToUpper(method), names.Replace(path), body)
			if got := strings.TrimSpace(w.Body.String()); w.Code != want || text != "" && got != text {
				t.Errorf("%s %s tells a stranger %d, %s; want %d %s", method, path, w.Code, got, want, text)
			}
		}
	}
}
