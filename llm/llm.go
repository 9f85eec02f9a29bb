// Package llm lets modules talk to language models: any server that speaks OpenAI's chat completions, in the cloud or
// on the same machine (Ollama, llama.cpp, vLLM, LM Studio).
//
//	client := llm.FromEnv()
//	reply, err := client.Chat(ctx, []llm.Message{
//		llm.System("You are a house plant. Answer in one sentence."),
//		llm.User("How do you feel?"),
//	}, llm.Temperature(0.8))
//
// Stream is Chat with a function that gets the answer piece by piece. Where no model is configured, a stand-in answers
// that this is so and what to set, so that an agent can be built and tried before there is a model.
//
// How to read the package: this file holds the client, message.go what goes in and comes out, option.go what can be
// asked for, attempt.go one request with its answer, retry.go when another try is worth it, errors.go what is said when
// none is. The protocol is in wire.go (JSON) and events.go (server-sent events). standin.go is what answers without a model.
package llm

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// openAI is the server that is asked when none is named.
const openAI = "https://api.openai.com/v1"

// Config says which model a client talks to, and where.
type Config struct {
	BaseURL string       // the API's root, usually ending in /v1; "" is OpenAI's
	Key     string       // the API key; "" for a server that needs none
	Model   string       // the model's name as the server knows it; there is no default, since models come and go
	HTTP    *http.Client // nil is http.DefaultClient
}

// Client talks to one model. It is safe for use by several goroutines and needs no closing.
type Client struct {
	config  Config
	missing string                                           // what is not configured, "" if nothing
	wait    func(ctx context.Context, d time.Duration) error // tests replace it
}

// FromEnv returns the client that the environment asks for:
//
//	COMA_MODEL       the model's name (or OPENAI_MODEL)
//	OPENAI_API_KEY   the key; a server on this machine needs none
//	OPENAI_BASE_URL  the API's root, such as http://localhost:11434/v1 for Ollama; OpenAI's if it is not set
//
// Without a model, or with neither key nor base URL, the client is the stand-in: see Configured.
func FromEnv() *Client {
	model := os.Getenv("COMA_MODEL")
	if model == "" {
		model = os.Getenv("OPENAI_MODEL")
	}
	return New(Config{
		BaseURL: os.Getenv("OPENAI_BASE_URL"),
		Key:     os.Getenv("OPENAI_API_KEY"),
		Model:   model,
	})
}

// New returns a client for config. It does not talk to the server yet.
func New(config Config) *Client {
	config.BaseURL = strings.TrimRight(strings.TrimSpace(config.BaseURL), "/")
	config.Key = strings.TrimSpace(config.Key)
	config.Model = strings.TrimSpace(config.Model)
	c := &Client{config: config, wait: sleep}
	switch {
	case config.BaseURL == "" && config.Key == "":
		c.missing = "neither OPENAI_API_KEY nor OPENAI_BASE_URL is set"
	case config.Model == "":
		c.missing = "COMA_MODEL, the model's name, is not set"
	}
	if c.config.BaseURL == "" {
		c.config.BaseURL = openAI
	}
	if c.config.HTTP == nil {
		c.config.HTTP = http.DefaultClient
	}
	return c
}

// Configured is false for the stand-in, which answers without a model.
func (c *Client) Configured() bool { return c.missing == "" }

// String names the model and its server, for logs. It never holds the key.
func (c *Client) String() string {
	if !c.Configured() {
		return "no model: " + c.missing
	}
	return fmt.Sprintf("%s at %s", c.config.Model, c.shownURL())
}

// GoString is String: it keeps the key out of what %#v prints.
func (c *Client) GoString() string { return c.String() }

// shownURL is the base URL without a password that may stand in it.
func (c *Client) shownURL() string {
	u, err := url.Parse(c.config.BaseURL)
	if err != nil {
		return "a base URL that cannot be read"
	}
	return u.Redacted()
}

// Chat sends the conversation and returns the model's answer. It waits as long as ctx allows. When the server is busy,
// failing or out of reach it tries again, up to four times in all and for as long as the server asks, but not over a
// minute. An answer of the server that is an error is an *Error.
func (c *Client) Chat(ctx context.Context, messages []Message, options ...Option) (Reply, error) {
	return c.complete(ctx, messages, options, nil)
}

// Stream is Chat that calls onPiece with every piece of the answer's text as it arrives, in order, and returns the
// whole at the end. An error of onPiece ends the stream and is returned as it is. With any error, the reply holds what
// had arrived. Once a piece has been handed out there is no second try.
func (c *Client) Stream(ctx context.Context, messages []Message, onPiece func(piece string) error, options ...Option) (Reply, error) {
	return c.complete(ctx, messages, options, onPiece)
}

// complete answers by the model or the stand-in; onPiece is nil where the answer is wanted whole.
func (c *Client) complete(ctx context.Context, messages []Message, options []Option, onPiece func(string) error) (Reply, error) {
	var ask request
	for _, option := range options {
		option.apply(&ask)
	}
	if !c.Configured() {
		return standIn(ctx, c.missing, messages, ask, onPiece)
	}
	if u, err := url.Parse(c.config.BaseURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return Reply{}, fmt.Errorf("ask %s: OPENAI_BASE_URL must be like http://localhost:11434/v1", c)
	}
	body, err := c.encode(messages, ask, onPiece != nil)
	if err != nil {
		return Reply{}, err
	}
	return c.try(ctx, body, onPiece)
}
