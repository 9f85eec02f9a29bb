package chroma

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkRequests measures what a request costs in this package and in the memory, without a network: reading it,
// finding, writing the answer.
func BenchmarkRequests(b *testing.B) {
	const records, dimension = 10_000, 384
	server := newServer(b)
	random := rand.New(rand.NewPCG(1, 2))
	vector := func() (numbers, encoded string) {
		text := make([]string, dimension)
		data := make([]byte, 4*dimension)
		for i := range text {
			f := float32(random.NormFloat64() / 20)
			text[i] = fmt.Sprint(float64(f)) // as Python writes a float32
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(f))
		}
		return "[" + strings.Join(text, ",") + "]", `"` + base64.StdEncoding.EncodeToString(data) + `"`
	}
	request := func(method, path, body string) []byte {
		r := httptest.NewRequest(method, "/api/v2/tenants/default_tenant/databases/default_database/collections"+path, strings.NewReader(body))
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code >= http.StatusMultipleChoices {
			b.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		return w.Body.Bytes()
	}
	var c struct{ ID string }
	if err := json.Unmarshal(request("POST", "", `{"name":"bench"}`), &c); err != nil {
		b.Fatal(err)
	}
	batch := func(from, n int) string {
		ids, vectors, documents, metadatas := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		for i := range n {
			ids[i] = fmt.Sprintf(`"id-%d"`, from+i)
			_, vectors[i] = vector()
			documents[i] = fmt.Sprintf(`"what was seen at %d: plants, suns and rivers"`, from+i)
			metadatas[i] = fmt.Sprintf(`{"timestamp":%d.5,"n":%d}`, from+i, (from+i)%10)
		}
		return fmt.Sprintf(`{"ids":[%s],"embeddings":[%s],"documents":[%s],"metadatas":[%s],"uris":null}`,
			strings.Join(ids, ","), strings.Join(vectors, ","), strings.Join(documents, ","), strings.Join(metadatas, ","))
	}
	for from := 0; from < records; from += 1000 {
		request("POST", "/"+c.ID+"/add", batch(from, 1000))
	}
	numbers, _ := vector()
	for name, body := range map[string]string{
		"query":               `{"query_embeddings":[` + numbers + `],"n_results":10}`,
		"query with vectors":  `{"query_embeddings":[` + numbers + `],"n_results":10,"include":["embeddings","documents","metadatas","distances"]}`,
		"query with a filter": `{"query_embeddings":[` + numbers + `],"n_results":10,"where":{"n":3}}`,
		"get 10":              `{"ids":["id-0","id-1","id-2","id-3","id-4","id-5","id-6","id-7","id-8","id-9"],"include":["embeddings","documents","metadatas"]}`,
		"get all metadata":    `{"include":["metadatas"]}`,
	} {
		operation, _, _ := strings.Cut(name, " ")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request("POST", "/"+c.ID+"/"+operation, body)
			}
		})
	}
	b.Run("add 1000", func(b *testing.B) {
		b.ReportAllocs()
		b.StopTimer()
		for n := 0; n < b.N; n++ {
			body := batch(records*(n+10), 1000)
			b.StartTimer()
			request("POST", "/"+c.ID+"/add", body)
			b.StopTimer()
		}
	})
}
