package coma_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// logbook is a session that keeps what is logged.
type logbook struct {
	alone
	entries []api.LogEntry
}

func (l *logbook) Log(_ context.Context, entry api.LogEntry) error {
	l.entries = append(l.entries, entry)
	return nil
}

// secret resolves to what may be shown of it.
type secret string

func (secret) LogValue() slog.Value { return slog.StringValue("(hidden)") }

func TestLogger(t *testing.T) {
	tests := []struct {
		name  string
		log   func(*slog.Logger)
		level string
		want  string // the entry as a line
	}{
		{"plain", func(l *slog.Logger) { l.Info("hello") }, "INFO", "hello"},
		{"debug is logged", func(l *slog.Logger) { l.Debug("hello") }, "DEBUG", "hello"},
		{"a level between", func(l *slog.Logger) { l.Log(context.Background(), slog.LevelWarn+1, "hello") }, "WARN+1", "hello"},
		{"attributes", func(l *slog.Logger) { l.Error("no answer", "tries", 3, "after", 2*time.Second, "ok", false) }, "ERROR", "no answer tries=3 after=2s ok=false"},
		{"an error", func(l *slog.Logger) { l.Warn("failed", "error", errors.New("out of tea")) }, "WARN", `failed error="out of tea"`},
		{"with", func(l *slog.Logger) { l.With("a", 1).With("b", 2).Info("m", "c", 3) }, "INFO", "m a=1 b=2 c=3"},
		{"group", func(l *slog.Logger) { l.WithGroup("g").Info("m", "a", 1) }, "INFO", "m g.a=1"},
		{"group without a name", func(l *slog.Logger) { l.WithGroup("").Info("m", "a", 1) }, "INFO", "m a=1"},
		{"with before and in groups", func(l *slog.Logger) { l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("h").Info("m", "c", 3) }, "INFO", "m a=1 g.b=2 g.h.c=3"},
		{"group attribute", func(l *slog.Logger) {
			l.Info("m", slog.Group("g", "a", 1, slog.Group("h", "b", 2)), slog.Group("empty"))
		}, "INFO", "m g.a=1 g.h.b=2"},
		{"inlined group", func(l *slog.Logger) { l.Info("m", slog.Group("", "a", 1)) }, "INFO", "m a=1"},
		{"empty attribute", func(l *slog.Logger) { l.Info("m", slog.Attr{}, slog.Int("a", 1)) }, "INFO", "m a=1"},
		{"resolved value", func(l *slog.Logger) { l.Info("m", "key", secret("tell nobody")) }, "INFO", "m key=(hidden)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			book := &logbook{}
			test.log(coma.NewAgent(book, "", nil).Logger())
			if len(book.entries) != 1 {
				t.Fatalf("%d entries", len(book.entries))
			}
			if e := book.entries[0]; e.Level != test.level || e.String() != test.want || e.Time.IsZero() {
				t.Errorf("logged %q with level %s at %s, want %q with %s", e.String(), e.Level, e.Time, test.want, test.level)
			}
		})
	}
}

// Loggers that come from one do not write into each other's attributes.
func TestLoggersShareNothing(t *testing.T) {
	book := &logbook{}
	base := coma.NewAgent(book, "", nil).Logger().With("a", 1, "b", 2, "c", 3)
	one, other := base.With("d", "one"), base.With("d", "other")
	one.Info("m", "e", 5)
	other.Info("m")
	base.Info("m")
	var got []string
	for _, e := range book.entries {
		got = append(got, e.String())
	}
	if want := []string{"m a=1 b=2 c=3 d=one e=5", "m a=1 b=2 c=3 d=other", "m a=1 b=2 c=3"}; !slices.Equal(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
}

func TestLog(t *testing.T) {
	book := &logbook{}
	now := time.Date(2030, time.May, 1, 12, 0, 0, 0, time.UTC)
	agent := coma.NewAgent(book, "", func() time.Time { return now })
	agent.Log("the answer is", 42, nil, []int{1, 2})
	agent.Log()
	agent.Log("two\nlines\n")
	if err := agent.Logger().Handler().Handle(t.Context(), slog.Record{Message: "a record without a time"}); err != nil {
		t.Error(err)
	}
	want := []string{"the answer is 42 <nil> [1 2]", "", "two\nlines\n", "a record without a time"}
	for i, e := range book.entries {
		if e.Text != want[i] || e.Level != "INFO" || !e.Time.Equal(now) {
			t.Errorf("entry %d is %+v, want %q at %s", i, e, want[i], now)
		}
	}
	if len(book.entries) != len(want) {
		t.Errorf("%d entries, want %d", len(book.entries), len(want))
	}
}
