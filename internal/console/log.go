package console

import (
	"context"
	"log/slog"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

// LogHandler shows what the backend of a run logs: warnings and errors.
func (c *Console) LogHandler() slog.Handler { return logHandler{c, nil} }

type logHandler struct {
	console *Console
	attrs   []api.Attr
}

func (h logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	entry := api.LogEntry{Time: r.Time, Level: r.Level.String(), Text: r.Message, Attrs: h.attrs[:len(h.attrs):len(h.attrs)]}
	r.Attrs(func(a slog.Attr) bool {
		entry.Attrs = append(entry.Attrs, api.Attr{Key: a.Key, Value: a.Value.String()})
		return true
	})
	h.console.Event(supervisor.Event{Time: r.Time, Agent: "coma", Kind: supervisor.Logged, Log: entry})
	return nil
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], api.Attr{Key: a.Key, Value: a.Value.String()})
	}
	return h
}

// WithGroup leaves groups out: the backend uses none.
func (h logHandler) WithGroup(string) slog.Handler { return h }
