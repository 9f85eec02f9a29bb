// Package embed finds the embedder that a name means: the one inside this program, a service on the network, or none.
//
// How to read it. spec.go is the names, as users write them and as memories remember them; library.go makes embedders of
// them, one each, and is all that others need; remote.go is the services; cache.go stands before all that cost time.
//
// A name says everything but secrets and addresses of one's own machine, so that the name in a memory's file is enough to
// find its embedder again, on the next day or on another machine. Keys come from the environment, when they are needed.
package embed

import (
	"context"

	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// Variables of the environment that this package, and those that choose an embedder, read.
const (
	Variable       = "COMA_EMBEDDER"     // the embedder to use where a project's coma.yaml names none
	KeyVariable    = "COMA_EMBEDDER_KEY" // of services by URL
	openAIKey      = "OPENAI_API_KEY"    // of OpenAI's own service
	openAIBase     = "OPENAI_BASE_URL"   // where that service is; "": api.openai.com
	ollamaHost     = "OLLAMA_HOST"       // where Ollama listens, as Ollama itself reads it
	openAIAddress  = "https://api.openai.com/v1"
	ollamaAddress  = "http://127.0.0.1:11434"
	defaultOpenAI  = "text-embedding-3-small"
	defaultOllama  = "nomic-embed-text"
	cacheBytes     = 8 << 20 // of texts and vectors, for each embedder
	longestInCache = 64 << 10
)

// Ready asks an embedder whether it can work now. It costs nothing for those inside this program; a service is asked for
// the vector of one word.
func Ready(ctx context.Context, e memory.Embedder) error {
	if r, ok := e.(interface{ ready(context.Context) error }); ok {
		return r.ready(ctx)
	}
	return nil
}

// none leaves texts without vectors.
type none struct{}

func (none) Name() string   { return None }
func (none) Dimension() int { return 0 }

// Embed returns nil for each text: it has no direction.
func (none) Embed(_ context.Context, texts []string) ([][]float32, error) {
	return make([][]float32, len(texts)), nil
}
