package access

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Certificate is the TLS certificate that sockets show, of two PEM files: what is connected after the files have been
// replaced sees the new one.
type Certificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	looked  time.Time // when the files were looked at last
	stamps  [2]stamp
	current *tls.Certificate
}

// lookEvery is how often the files are looked at, at most.
const lookEvery = time.Second

// LoadCertificate reads the certificate (with its chain, leaf first) and its key. What goes wrong later is told to log.
func LoadCertificate(cert, key string, log *slog.Logger) (*Certificate, error) {
	if cert == "" || key == "" {
		return nil, fmt.Errorf("TLS: %w: a certificate and its key are needed, both", api.ErrInvalid)
	}
	c := &Certificate{cert: cert, key: key, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	c.looked = time.Now()
	return c, nil
}

// Config is the configuration of a server that shows the certificate.
func (c *Certificate) Config(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.get(), nil
		},
	}
}

func (c *Certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if stamps, err := c.stat(); err != nil || stamps != c.stamps {
			if err := c.load(); err != nil {
				c.log.Error("the TLS certificate could not be read again: the one before stays", slog.Any("error", err))
			}
		}
	}
	return c.current
}

// load is called with mu held, or before the certificate is shared.
func (c *Certificate) load() error {
	stamps, err := c.stat()
	if err != nil {
		return fmt.Errorf("read TLS certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("read TLS certificate %s with key %s: %w", c.cert, c.key, err)
	}
	c.current, c.stamps = &pair, stamps
	return nil
}

func (c *Certificate) stat() (stamps [2]stamp, err error) {
	for i, path := range []string{c.cert, c.key} {
		info, statErr := os.Stat(path)
		if statErr != nil {
			err = errors.Join(err, statErr)
			continue
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, err
}
