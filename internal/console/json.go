package console

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/module"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

// Line is an event as a program reads it, one JSON object a line.
type Line struct {
	Time       time.Time        `json:"time"`
	Agent      string           `json:"agent,omitempty"`
	Module     string           `json:"module,omitempty"`
	Event      supervisor.Kind  `json:"event"`
	Generation int              `json:"generation,omitempty"`
	PID        int              `json:"pid,omitempty"`
	Took       float64          `json:"took_ms,omitempty"`
	Delay      float64          `json:"restarts_in_ms,omitempty"`
	Error      string           `json:"error,omitempty"`
	Failure    *module.Failure  `json:"failure,omitempty"`
	Problems   []module.Problem `json:"problems,omitempty"` // of code that does not load
	Level      string           `json:"level,omitempty"`
	Text       string           `json:"text,omitempty"`
	Attrs      []api.Attr       `json:"attrs,omitempty"`
	Stream     string           `json:"stream,omitempty"`
}

// json is called with mu held.
func (c *Console) json(e supervisor.Event) {
	l := Line{
		Time: e.Time, Agent: e.Agent, Module: e.Module, Event: e.Kind, Generation: e.Generation, PID: e.PID,
		Took: float64(e.Took.Microseconds()) / 1000, Delay: float64(e.Delay.Microseconds()) / 1000,
		Level: e.Log.Level, Text: e.Text + e.Log.Text, Attrs: e.Log.Attrs, Stream: e.Stream,
	}
	if e.Err != nil {
		l.Error = e.Err.Error()
		var load *module.LoadError
		errors.As(e.Err, &l.Failure)
		if errors.As(e.Err, &load) {
			l.Problems = load.Problems
		}
	}
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // strings, numbers and times can be encoded
	}
	c.out.Write(append(text, '\n'))
}
