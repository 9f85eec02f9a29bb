package uplink_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/peers"
	"github.com/concurrent-modular-agent/coma/internal/uplink"
)

// authority signs certificates for a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	a.certificate = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	a.key, der = sign(t, a.certificate, nil)
	write(t, a.file, "CERTIFICATE", der)
	return a
}

// issue returns the files of a certificate for names or addresses, and of its key.
func (a *authority) issue(t *testing.T, names ...string) (cert, key string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	private, der := sign(t, template, a)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, "CERTIFICATE", der)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, key, "PRIVATE KEY", encoded)
	return cert, key
}

func sign(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func write(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// roundTrip publishes something to itself.
func roundTrip(t *testing.T, opt uplink.Options) {
	t.Helper()
	c, _ := client(t, opt)
	got := hear()
	if _, err := c.Subscribe("a", 1, got.handle); err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(t.Context(), "a", []byte("x"), 1, false); err != nil {
		t.Fatal(err)
	}
	got.atLeast(t, 1)
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "127.0.0.1")
	clientCert, clientKey := ca.issue(t, "client")
	for _, ws := range []bool{false, true} {
		name := map[bool]string{false: "MQTT", true: "WebSocket"}[ws]
		t.Run(name, func(t *testing.T) {
			b := peers.Mosquitto(t, peers.BrokerOptions{Cert: cert, Key: key, WebSocket: ws})
			roundTrip(t, uplink.Options{URL: b.URL(), CA: ca.file, ClientID: "x"})
			refused(t, uplink.Options{URL: b.URL(), ClientID: "x"}, "unknown authority")
			elsewhere := strings.Replace(b.URL(), "127.0.0.1", "localhost", 1)
			refused(t, uplink.Options{URL: elsewhere, CA: ca.file, ClientID: "x"}, "localhost")
		})
		t.Run(name+" with client certificates", func(t *testing.T) {
			b := peers.Mosquitto(t, peers.BrokerOptions{CA: ca.file, Cert: cert, Key: key, WebSocket: ws})
			roundTrip(t, uplink.Options{URL: b.URL(), CA: ca.file, Cert: clientCert, Key: clientKey, ClientID: "x"})
			// The broker's word on it can get lost with the connection: then it is like a broker that is away.
			c, err := uplink.Open(t.Context(), uplink.Options{URL: b.URL(), CA: ca.file, ClientID: "x"})
			if err == nil {
				err = c.State().Err
				c.Close()
			}
			if err == nil {
				t.Error("connected without a certificate")
			}
		})
	}
	t.Run("files", func(t *testing.T) {
		b := "mqtts://127.0.0.1:1"
		refused(t, uplink.Options{URL: b, CA: "/no/such/file", ClientID: "x"}, "/no/such/file")
		refused(t, uplink.Options{URL: b, CA: key, ClientID: "x"}, "no certificate in it")
		refused(t, uplink.Options{URL: b, Cert: cert, ClientID: "x"}, "certificate and key")
		refused(t, uplink.Options{URL: "mqtt://127.0.0.1:1", CA: ca.file, ClientID: "x"}, "mqtts://")
	})
}

func refused(t *testing.T, opt uplink.Options, want string) {
	t.Helper()
	c, err := uplink.Open(t.Context(), opt)
	if err == nil {
		err = c.State().Err
		c.Close()
		t.Errorf("%s is no error (its state: %v)", want, err)
	} else if !strings.Contains(err.Error(), want) {
		t.Errorf("error: %v (want %s)", err, want)
	}
}

func TestWebSocket(t *testing.T) {
	b := peers.Mosquitto(t, peers.BrokerOptions{WebSocket: true, User: "u", Password: "p"})
	roundTrip(t, uplink.Options{URL: b.URL(), ClientID: "x"})
	_, err := uplink.Open(t.Context(), uplink.Options{URL: "ws://" + b.Addr() + "/other", ClientID: "x"})
	if !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), "password") {
		t.Errorf("without a password: %v", err)
	}
}

// A query may hold a token, and URLs are shown and kept.
func TestAURLHasNoQuery(t *testing.T) {
	err := uplink.Check("wss://host/mqtt?token=s3cret")
	if !errors.Is(err, api.ErrInvalid) || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

// FuzzRedact looks that no password is ever shown, whatever a user takes for a URL.
func FuzzRedact(f *testing.F) {
	for _, s := range []string{"mqtt://u:pass@host", "u:pass@host:1", "mqtt://u:p@ss@host/x@y", "//:@", "mqtt://u:pass@[::1", "mqtts://u:%zz@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		address := "mqtt://user:s3cret" + s + "@host"
		if shown := uplink.Redact(address); strings.Contains(shown, "s3cret") {
			t.Errorf("Redact(%q) = %q", address, shown)
		}
		if err := uplink.Check(address); err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Check(%q): %v", address, err)
		}
	})
}
