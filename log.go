package coma

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Log writes a line to the module's log, as fmt.Println forms it. What a module prints to its standard output or
// standard error is logged too, a line an entry.
func (a *Agent) Log(args ...any) {
	a.log(api.LogEntry{
		Time:  a.now(),
		Level: slog.LevelInfo.String(),
		Text:  strings.TrimSuffix(fmt.Sprintln(args...), "\n"),
	})
}

// Logger returns a structured logger that writes to the module's log.
func (a *Agent) Logger() *slog.Logger { return slog.New(&logHandler{agent: a}) }

func (a *Agent) log(entry api.LogEntry) {
	ctx, cancel := context.WithTimeout(context.Background(), outputTimeout)
	defer cancel()
	if err := a.session.Log(ctx, entry); err != nil {
		fmt.Fprintln(os.Stderr, entry.String()) // the host is out of reach: standard error is the log's other way
	}
}

// logHandler turns slog records into log entries. Attributes of groups carry the group's name and a dot in their key.
type logHandler struct {
	agent  *Agent
	prefix string
	attrs  []api.Attr
}

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	entry := api.LogEntry{Time: r.Time, Level: r.Level.String(), Text: r.Message, Attrs: h.attrs[:len(h.attrs):len(h.attrs)]}
	if entry.Time.IsZero() {
		entry.Time = h.agent.now()
	}
	r.Attrs(func(a slog.Attr) bool {
		entry.Attrs = flatten(entry.Attrs, h.prefix, a)
		return true
	})
	h.agent.log(entry)
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = h.attrs[:len(h.attrs):len(h.attrs)]
	for _, a := range attrs {
		next.attrs = flatten(next.attrs, h.prefix, a)
	}
	return &next
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.prefix += name + "."
	return &next
}

// flatten appends a to attrs, with the attributes of a group one by one.
func flatten(attrs []api.Attr, prefix string, a slog.Attr) []api.Attr {
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		if a.Equal(slog.Attr{}) {
			return attrs // slog's rule: an empty attribute is ignored
		}
		return append(attrs, api.Attr{Key: prefix + a.Key, Value: value.String()})
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, member := range value.Group() {
		attrs = flatten(attrs, prefix, member)
	}
	return attrs
}
