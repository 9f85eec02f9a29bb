package embed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/philippgille/chromem-go"
)

// Bounds of what a service is asked.
const (
	atOnce      = 8               // requests of one embedder at the same time
	oneRequest  = time.Minute     // Ollama loads a model at the first one
	firstPause  = time.Second / 2 // before a request is repeated; doubles
	maxAttempts = 5
)

// remote asks a service for vectors, a request for each text.
type remote struct {
	spec      Spec
	getenv    func(string) string
	places    chan struct{} // a bound on requests
	dimension atomic.Int64  // 0 until the first vector
	pause     time.Duration

	connect func() (chromem.EmbeddingFunc, error) // once it succeeds, always the same function
}

func newRemote(spec Spec, getenv func(string) string) *remote {
	r := &remote{spec: spec, getenv: getenv, places: make(chan struct{}, atOnce), pause: firstPause}
	r.connect = sync.OnceValues(r.ask)
	return r
}

func (r *remote) Name() string { return r.spec.String() }

// Dimension is 0 until the service has made a vector.
func (r *remote) Dimension() int { return int(r.dimension.Load()) }

// ready asks for the vector of a word.
func (r *remote) ready(ctx context.Context) error {
	_, err := r.Embed(ctx, []string{"coma"})
	return err
}

// ask returns the function that asks the service. It reads the environment, which does not change while a process runs.
func (r *remote) ask() (chromem.EmbeddingFunc, error) {
	switch r.spec.Kind {
	case Ollama:
		base, err := ollamaBase(r.getenv(ollamaHost))
		return chromem.NewEmbeddingFuncOllama(r.spec.Model, base), err
	case OpenAI:
		key, base := r.getenv(openAIKey), strings.TrimSuffix(r.getenv(openAIBase), "/")
		if base == "" {
			base = openAIAddress
		}
		if key == "" && base == openAIAddress {
			return nil, fmt.Errorf("%s is not set: set it where the backend runs, or choose another embedder (coma.yaml: memory: {embedder: minilm}, or %s=minilm)", openAIKey, Variable)
		}
		return chromem.NewEmbeddingFuncOpenAICompat(base, key, r.spec.Model, nil), nil
	}
	// OpenAI's key goes to OpenAI alone: the name of a service can come with a project, or with a memory that somebody
	// else has backed up.
	key := r.getenv(KeyVariable)
	if key == "" && (r.spec.Base == openAIAddress) {
		key = r.getenv(openAIKey)
	}
	return chromem.NewEmbeddingFuncOpenAICompat(r.spec.Base, key, r.spec.Model, nil), nil
}

// Embed implements memory.Embedder. After an error it returns, beside it, those vectors that were made.
func (r *remote) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	embed, err := r.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	vectors := make([][]float32, len(texts))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(atOnce, len(texts)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(texts) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				v, err := r.one(ctx, embed, texts[i])
				if err != nil {
					cancel(err) // the first one counts
					return
				}
				vectors[i] = v
			}
		})
	}
	workers.Wait()
	return vectors, context.Cause(ctx)
}

// one asks for one vector, again where the service says that it has too much to do.
func (r *remote) one(ctx context.Context, embed chromem.EmbeddingFunc, text string) ([]float32, error) {
	select {
	case r.places <- struct{}{}:
		defer func() { <-r.places }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	pause := r.pause
	for attempt := 1; ; attempt++ {
		within, cancel := context.WithTimeout(ctx, oneRequest)
		v, err := embed(within, text)
		cancel()
		if err == nil {
			return v, r.check(v)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if code := status(err); attempt == maxAttempts || code != http.StatusTooManyRequests && code < 500 {
			return nil, r.explained(err, code)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		pause *= 2
	}
}

// check learns the dimension from the first vector, and holds all others to it.
func (r *remote) check(v []float32) error {
	if r.dimension.CompareAndSwap(0, int64(len(v))) {
		return nil
	}
	if want := r.Dimension(); len(v) != want {
		return fmt.Errorf("the service gave a vector of %d dimensions, and %d before: has its model changed?", len(v), want)
	}
	return nil
}

// status finds the HTTP status in an error of chromem-go's, which has it as text only; 0 where the service has not answered.
func status(err error) int {
	_, rest, ok := strings.Cut(err.Error(), "error response from the embedding API: ")
	if !ok || len(rest) < 3 {
		return 0
	}
	code, err := strconv.Atoi(rest[:3])
	if err != nil {
		return 0
	}
	return code
}

// explained says what the user can do about an error. Keys are in no error: they travel in headers alone.
func (r *remote) explained(err error, code int) error {
	var advice string
	var lost *url.Error
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		key := KeyVariable
		if r.spec.Kind == OpenAI {
			key = openAIKey
		}
		advice = "is " + key + " the right one, where the backend runs?"
	case code == http.StatusNotFound && r.spec.Kind == Ollama:
		advice = "ollama pull " + r.spec.Model
	case code == http.StatusNotFound:
		advice = "is it the right address, up to /v1, and the right model?"
	case code == http.StatusTooManyRequests:
		advice = "its limit, or your credit, is used up"
	case errors.Is(err, syscall.ECONNREFUSED) && r.spec.Kind == Ollama:
		advice = "does Ollama run? \"ollama serve\" starts it; " + ollamaHost + " says where it is"
	case errors.Is(err, context.DeadlineExceeded):
		advice = "no answer within " + oneRequest.String()
	case errors.As(err, &lost):
		advice = "does the service run?"
	}
	if advice == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, advice)
}
