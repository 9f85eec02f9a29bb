// Package daemon runs a backend as a process of its own: one for each user, started in the background, found by its socket
// and stopped by a request.
//
// run.go is the daemon's own life, start.go starts one and waits for its first word, stop.go ends it, log.go is its log
// file. What the daemon does for agents is package backend's.
package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// Config is how a daemon is started. It is kept in the state folder, so that a restart begins where the last start did.
// Secrets are not part of it: they come from the environment, each time.
type Config struct {
	Host     string `json:"host,omitempty"`      // "": 127.0.0.1
	MQTTPort int    `json:"mqtt_port,omitempty"` // 0: 1883
	APIPort  int    `json:"api_port,omitempty"`  // 0: 8000
	Guarded  bool   `json:"guarded,omitempty"`   // MQTT clients need a password

	// See backend.Options.
	TLSCert      string        `json:"tls_cert,omitempty"`
	TLSKey       string        `json:"tls_key,omitempty"`
	AllowHosts   []string      `json:"allow_hosts,omitempty"`
	AllowOrigins []string      `json:"allow_origins,omitempty"`
	Limits       access.Limits `json:"limits,omitzero"`

	// Uplink is a broker elsewhere. Its password is not kept.
	Uplink backend.Uplink `json:"uplink,omitzero"`
}

// Secrets are what others must know to connect.
type Secrets struct {
	Password string // of MQTT clients: COMA_PASSWORD
	Token    string // of the API: COMA_TOKEN
	Chroma   string // of Chroma's clients, on this machine, too: COMA_CHROMA_TOKEN
}

// SecretsFromEnv reads COMA_PASSWORD, COMA_TOKEN and COMA_CHROMA_TOKEN.
func SecretsFromEnv() Secrets {
	return Secrets{Password: os.Getenv("COMA_PASSWORD"), Token: os.Getenv("COMA_TOKEN"), Chroma: os.Getenv("COMA_CHROMA_TOKEN")}
}

// Users returns how many users there are who may come in from outside.
func Users(f folders.Folders) (int, error) {
	users, err := access.Open(backend.UsersPath(f))
	if err != nil {
		return 0, err
	}
	return users.Count(), nil
}

// Check refuses, with api.ErrInvalid, what could not be started or would lose its guard; users is how many there are.
func (c Config) Check(s Secrets, users int) error {
	for name, port := range map[string]int{"--mqtt-port": c.MQTTPort, "--api-port": c.APIPort} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("%s %d: %w: want 1 to 65535", name, port, api.ErrInvalid)
		}
	}
	if err := backend.Exposable(c.Host, s.Password, s.Token, users); err != nil {
		return err
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fmt.Errorf("start backend: %w: --tls-cert and --tls-key go together", api.ErrInvalid)
	}
	if c.Guarded && s.Password == "" {
		return fmt.Errorf("start backend: %w: it asked MQTT clients for a password before: set COMA_PASSWORD again, or stop and start it to go on without", api.ErrInvalid)
	}
	return nil
}

// LoadConfig returns how the daemon was started last; the zero Config if it never was.
func LoadConfig(f folders.Folders) (Config, error) {
	data, err := os.ReadFile(configPath(f))
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("read backend's settings: %w", err)
	}
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return Config{}, fmt.Errorf("read backend's settings: %s is damaged: %w: remove it", configPath(f), err)
	}
	return c, nil
}

// save keeps the settings of a daemon that has started.
func (c Config) save(f folders.Folders) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode backend's settings: %w", err)
	}
	if err := folders.WriteFile(configPath(f), append(data, '\n')); err != nil {
		return fmt.Errorf("keep backend's settings: %w", err)
	}
	return nil
}

func configPath(f folders.Folders) string { return filepath.Join(f.State, "backend.json") }

// LogPath is the daemon's log file; one older file lies beside it, with the ending .1.
func LogPath(f folders.Folders) string { return filepath.Join(f.State, "backend.log") }

// lockPath is held, as long as it lives, by the one daemon of a state folder. It is not in the runtime folder, of which
// a user can have several.
func lockPath(f folders.Folders) string { return filepath.Join(f.State, "daemon.lock") }
