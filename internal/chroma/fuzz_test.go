package chroma

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/table"
)

// FuzzRequest sends any body to every operation: none may fail on this side, and what is answered is JSON.
func FuzzRequest(f *testing.F) {
	for _, line := range wireRequests(f) {
		if method, rest, _ := strings.Cut(line, " "); method == "POST" || method == "PUT" {
			_, body, _ := strings.Cut(rest, " ")
			f.Add([]byte(body))
		}
	}
	server := newServer(f)
	const collections = "/api/v2/tenants/default_tenant/databases/default_database/collections"
	f.Fuzz(func(t *testing.T, body []byte) {
		created := send(t, server, "POST", collections, []byte(`{"name":"fuzz","get_or_create":true}`))
		var c struct{ ID string }
		if err := json.Unmarshal(created, &c); err != nil {
			t.Fatal(err)
		}
		send(t, server, "POST", collections+"/"+c.ID+"/add", []byte(`{"ids":["a","b"],"embeddings":[[1,2],[3,4]],"documents":["x",null],"metadatas":[{"n":1,"s":"x"},null]}`))
		for _, operation := range []string{"add", "upsert", "update", "get", "query", "delete"} {
			send(t, server, "POST", collections+"/"+c.ID+"/"+operation, body)
		}
		send(t, server, "POST", collections, body)
		send(t, server, "PUT", collections+"/"+c.ID, body)
	})
}

func send(t *testing.T, server *Server, method, path string, body []byte) []byte {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	answer, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if w.Code == http.StatusInternalServerError || !json.Valid(answer) {
		t.Fatalf("%s %s %s: %d %s", method, path, body, w.Code, answer)
	}
	return answer
}

// FuzzReader compares what is taken for JSON with encoding/json, and strings and numbers with what it reads.
func FuzzReader(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,2.5,-0,1e9,"x\né🌱",true,false,null,{}]}`, `[]`, `"\ud83c\udf31"`, `"\ud83c"`, `01`, `1.`, `-`, `{"a":1,}`, `[1 2]`, "\"\x01\"", `nul`, ` 1 `, `1 1`,
		"\"\xff\"", `"\u00"`, `{"a"}`, `{1:2}`, `1e400`, `-1e-400`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := &reader{data: text}
		value, err := r.value()
		if err == nil {
			err = r.end()
		}
		if valid := json.Valid(text); err == nil && !valid {
			t.Fatalf("%q is taken for JSON", text)
		} else if err != nil {
			// Stricter than encoding/json on purpose: depth, numbers that no float64 holds, text that is not UTF-8.
			for _, reason := range []string{"recursion", "out of range", "unicode", "surrogate"} {
				if strings.Contains(err.Error(), reason) {
					return
				}
			}
			if valid {
				t.Fatalf("%q is not taken for JSON: %v", text, err)
			}
			return
		}
		if s, ok := value.(string); ok {
			var want string
			if err := json.Unmarshal(text, &want); err != nil || s != want {
				t.Fatalf("%q is read as %q, not %q (%v)", text, s, want, err)
			}
		}
		if skipped := (&reader{data: text}).skip(); skipped != nil {
			t.Fatalf("skip: %v", skipped)
		}
	})
}

// FuzzWhere makes conditions of any clause: each is wrong, or one that the table takes.
func FuzzWhere(f *testing.F) {
	for _, line := range wireRequests(f) {
		for _, field := range []string{`"where":`, `"where_document":`} {
			if _, clause, ok := strings.Cut(line, field); ok {
				clause, _, _ = strings.Cut(clause, `,"include"`)
				f.Add([]byte(clause))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, c := range []clause{whereClause, documentClause} {
			value, err := (&reader{data: text}).value()
			if err != nil {
				return
			}
			cond, err := c.compile(value)
			if err != nil || cond.filter == nil {
				continue
			}
			if _, err := table.Compile(cond.filter); err != nil && !strings.Contains(err.Error(), "more than") && !strings.Contains(err.Error(), "bytes") {
				t.Fatalf("%s: %v", text, err)
			}
		}
	})
}

// wireRequests returns the requests of testdata/wire.
func wireRequests(f *testing.F) (requests []string) {
	files, err := filepath.Glob("testdata/wire/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		for _, line := range wireLines(f, file) {
			if request, ok := strings.CutPrefix(line, "> "); ok {
				requests = append(requests, request)
			}
		}
	}
	return requests
}
