package project

import (
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/concurrent-modular-agent/coma/internal/uplink"
)

// Broker is the MQTT broker that a project wants in place of the one inside the backend. The zero value asks for none.
type Broker struct {
	URL           string // mqtt://, mqtts://, ws:// or wss://
	User          string // "": as the URL or the environment say, as which alone passwords are given
	CA, Cert, Key string // files, absolute
	NoMirror      bool   // messages between modules are not shown there
}

// broker reads coma.yaml's broker: a URL, or a mapping.
func (r *configReader) broker(into *Broker) func(*yaml.Node) {
	return func(n *yaml.Node) {
		address := func(n *yaml.Node) {
			into.URL = r.text(n)
			if err := uplink.Check(into.URL); err != nil && target(n).Kind == yaml.ScalarNode {
				r.fail(n, "%v", err)
			}
		}
		if target(n).Kind == yaml.ScalarNode {
			address(n)
			return
		}
		text := func(into *string) func(*yaml.Node) { return func(n *yaml.Node) { *into = r.text(n) } }
		mirror := true
		r.mapping(n, map[string]func(*yaml.Node){
			"url": address, "user": text(&into.User), "ca": text(&into.CA), "cert": text(&into.Cert), "key": text(&into.Key),
			"mirror": r.boolean(&mirror),
		})
		into.NoMirror = !mirror
		if into.URL == "" {
			r.fail(n, "a broker needs a url")
		}
	}
}

// below makes the files' paths absolute.
func (b Broker) below(root string) Broker {
	for _, path := range []*string{&b.CA, &b.Cert, &b.Key} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(root, *path)
		}
	}
	return b
}
