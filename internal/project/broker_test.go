package project

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBroker(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	for text, want := range map[string]Broker{
		"durable: true\n":                 {},
		"broker: mqtt://broker.example\n": {URL: "mqtt://broker.example"},
		"broker: {url: 'wss://h/mqtt', user: garden, ca: ca.pem, cert: /etc/host.pem, key: host.key, mirror: false}\n": {
			URL: "wss://h/mqtt", User: "garden", CA: "ca.pem", Cert: "/etc/host.pem", Key: "host.key", NoMirror: true,
		},
	} {
		c, err := parseConfig([]byte(text), none)
		if err != nil || c.broker != want {
			t.Errorf("%s: %+v, %v", text, c.broker, err)
		}
	}
	for text, want := range map[string]string{
		"broker: localhost:1883\n":              `coma.yaml:1:9: broker "localhost:1883"`,
		"broker: mqtt://u:hunter2@host:port\n":  `broker "mqtt://host:port"`,
		"broker: {user: garden}\n":              "a broker needs a url",
		"broker: {url: mqtt://h, mirror: 1}\n":  "want true or false",
		"broker: {url: mqtt://h, pasword: x}\n": `unknown key "pasword"`,
	} {
		_, err := parseConfig([]byte(text), none)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}

	dir := t.TempDir()
	for name, text := range map[string]string{
		"coma.yaml": "broker: {url: mqtts://h, ca: keys/ca.pem}\n", "hello.sh": "echo hello\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Load(dir)
	if err != nil || p.Broker.CA != filepath.Join(p.Dir, "keys/ca.pem") {
		t.Errorf("%v, %v", p, err)
	}
}
