package backend_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/peers"
)

func TestChooseUplink(t *testing.T) {
	flag := backend.Uplink{URL: "mqtt://flag"}
	file := backend.Uplink{URL: "mqtts://file:8884", User: "garden", CA: "/ca.pem", NoMirror: true}
	for _, c := range []struct {
		name    string
		env     map[string]string
		choices []backend.Uplink
		want    backend.Uplink
	}{
		{"none", nil, []backend.Uplink{{}}, backend.Uplink{}},
		{"the first", map[string]string{"COMA_BROKER": "mqtt://env"}, []backend.Uplink{flag, file}, flag},
		{"the second", map[string]string{"COMA_BROKER": "mqtt://env"}, []backend.Uplink{{HostName: "shed"}, file},
			backend.Uplink{URL: "mqtts://file:8884", User: "garden", CA: "/ca.pem", NoMirror: true, HostName: "shed"}},
		{"the environment", map[string]string{"COMA_BROKER": "mqtt://u:p@env", "COMA_BROKER_CA": "/x", "COMA_HOST": "h"}, []backend.Uplink{{}},
			backend.Uplink{URL: "mqtt://env", User: "u", Password: "p", Secret: true, CA: "/x", HostName: "h"}},
		{"inside a module", map[string]string{"COMA_BROKER": "mqtt://env", "COMA_MODULE": "m"}, []backend.Uplink{{}}, backend.Uplink{}},
		{"the password of the environment", map[string]string{"COMA_BROKER_PASSWORD": "p"}, []backend.Uplink{file},
			backend.Uplink{URL: "mqtts://file:8884", User: "garden", Password: "p", Secret: true, CA: "/ca.pem", NoMirror: true}},
		{"another user's password", map[string]string{"COMA_BROKER_USER": "other", "COMA_BROKER_PASSWORD": "p"},
			[]backend.Uplink{{URL: "mqtt://u:own@flag"}}, backend.Uplink{URL: "mqtt://flag", User: "u", Password: "own", Secret: true}},
		{"started again", map[string]string{"COMA_BROKER": "mqtt://u:p@flag"}, []backend.Uplink{flag},
			backend.Uplink{URL: "mqtt://flag", User: "u", Password: "p", Secret: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := backend.ChooseUplink(func(name string) string { return c.env[name] }, c.choices...)
			if err != nil || got != c.want {
				t.Errorf("%+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
	for name, u := range map[string]backend.Uplink{
		"no URL": {URL: "s3cret@host"}, "the password is missing": {URL: "mqtt://host", User: "u", Secret: true},
	} {
		_, err := backend.ChooseUplink(func(string) string { return "" }, u)
		if !errors.Is(err, api.ErrInvalid) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// logged is a log that a test can read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Where a broker grants less than QoS 2, the log says so once.
func TestWeakBrokerIsTold(t *testing.T) {
	withBrokers(t, func(t *testing.T, k *peers.Broker) {
		log := &logged{}
		b := open(t, at(k), func(o *backend.Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
		attach(t, b, api.Attachment{Agent: "a", Modules: []string{"x", "y"}}, newConsole())
		want := 0
		if k.Kind == "rabbitmq" {
			want = 1
		}
		if got := strings.Count(log.String(), "grants QoS 1"); got != want {
			t.Errorf("told %d times:\n%s", got, log)
		}
	})
}
