package link

import (
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func TestModulesComeInAsWhoeverRunsThem(t *testing.T) {
	told := api.Endpoint{API: "unix:///run/coma.sock", Broker: "mqtt://coma:secret@127.0.0.1:1883", Token: "secret", HTTP: "http://127.0.0.1:8000"}
	admins := api.Endpoint{API: "unix:///run/coma.sock", Broker: "mqtt://boss@127.0.0.1:1883", HTTP: "http://127.0.0.1:8000"}
	elsewhere := api.Endpoint{API: "unix:///run/coma.sock", Broker: "mqtts://garden:key@broker.example", Token: "secret"}
	tests := []struct {
		name           string
		told           api.Endpoint
		address, token string
		want           api.Endpoint
	}{
		{"by the socket", told, "unix:///run/coma.sock", "secret", told},
		{"the owner, here", told, "http://127.0.0.1:8000", "secret",
			api.Endpoint{API: "http://127.0.0.1:8000", Broker: "mqtt://coma:secret@127.0.0.1:1883", Token: "secret", HTTP: "http://127.0.0.1:8000"}},
		{"the owner, from elsewhere", told, "http://pc:8000", "secret",
			api.Endpoint{API: "http://pc:8000", Broker: "mqtt://coma:secret@pc:1883", Token: "secret", HTTP: "http://pc:8000"}},
		{"an admin, from elsewhere", admins, "https://[fd00::1]:8000", "boss:a word:two",
			api.Endpoint{API: "https://[fd00::1]:8000", Broker: "mqtts://boss:a%20word%3Atwo@[fd00::1]:1883", Token: "boss:a word:two", HTTP: "https://[fd00::1]:8000"}},
		{"a broker that is not the host's", elsewhere, "http://pc:8000", "boss:word",
			api.Endpoint{API: "http://pc:8000", Broker: "mqtts://garden:key@broker.example", Token: "boss:word", HTTP: "http://pc:8000"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := throughHere(test.told, test.address, test.token); got != test.want {
				t.Errorf("modules are told %+v\nwant %+v", got, test.want)
			}
		})
	}
}
