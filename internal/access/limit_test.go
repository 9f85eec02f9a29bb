package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// pipes is a listener of connections that the test hands in.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return nil }

type from struct {
	net.Conn
	address string
	closed  bool
}

func (f *from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.address), Port: 1} }
func (f *from) Close() error         { f.closed = true; return nil }

func TestLimit(t *testing.T) {
	in := make(pipes, 20)
	var full []string
	l := Limit(in, Limits{Connections: 4, PerAddress: 2}, func(address string) { full = append(full, address) })
	offer := func(address string) *from {
		f := &from{address: address}
		in <- f
		return f
	}
	accept := func(want *from) net.Conn {
		t.Helper()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if conn.(*counted).Conn != net.Conn(want) {
			t.Fatalf("accepted another connection")
		}
		return conn
	}
	first, second, third := offer("10.0.0.1"), offer("10.0.0.1"), offer("10.0.0.1")
	other := offer("10.0.0.2")
	a := accept(first)
	accept(second)
	accept(other) // the third of an address goes
	if !third.closed || len(full) != 1 || full[0] != "10.0.0.1" {
		t.Fatalf("the third of one address: closed %t, told %v", third.closed, full)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a.Close() // counts once
	accept(offer("10.0.0.1"))
	accept(offer("127.0.0.1"))
	over := offer("127.0.0.1")
	close(in)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) || !over.closed {
		t.Errorf("the fifth: %v, closed %t", err, over.closed)
	}
}

func TestLimitsAreSetByName(t *testing.T) {
	var l Limits
	for _, text := range []string{"rate=7", "per-address=3", "session-age=48h", "session-bytes=5000000000", "retained=1", "in-flight=8000000"} {
		if err := l.Set(text); err != nil {
			t.Error(err)
		}
	}
	want := Limits{Rate: 7, PerAddress: 3, SessionAge: 48 * time.Hour, SessionBytes: 5_000_000_000, Retained: 1, InFlight: 8_000_000}
	if l != want {
		t.Errorf("limits are %+v", l)
	}
	for _, text := range []string{"", "rate", "rate=", "rate=0", "rate=-1", "rate=many", "speed=1", "session-age=5", "message-bytes=99999999", "rate=5000000000"} {
		if err := l.Set(text); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if l != want {
		t.Errorf("a refused limit has changed them: %+v", l)
	}
	var again Limits
	for _, text := range l.Strings() {
		if err := again.Set(text); err != nil {
			t.Error(err)
		}
	}
	if again != l {
		t.Errorf("set by their own strings: %+v", again)
	}
	if d := l.WithDefaults(); d.Rate != 7 || d.Connections == 0 || d.RetainedBytes == 0 {
		t.Errorf("with defaults: %+v", d)
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := NewRate(100)
		for range 600 {
			if err := r.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 4900*time.Millisecond || took > 5*time.Second {
			t.Errorf("600 events at 100 a second took %v", took) // the first second's worth is let through at once
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
		start = time.Now()
		for range 1000 {
			if err := NewRate(0).Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if time.Since(start) != 0 {
			t.Error("no limit is one")
		}
	})
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key, 1)
	c, err := LoadCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		c.mu.Lock()
		c.looked = time.Time{} // a second has passed
		c.mu.Unlock()
		shown, err := c.Config().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return shown.Leaf.SerialNumber.Int64()
	}
	if serial() != 1 {
		t.Fatal("another certificate is shown")
	}
	writeCertificate(t, cert, key, 23456789)
	if got := serial(); got != 23456789 {
		t.Errorf("after a new one was put there, %d is shown", got)
	}
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 23456789 {
		t.Errorf("with a damaged key, %d is shown", got)
	}
	if _, err := LoadCertificate(cert, key, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a damaged key was taken")
	}
	if _, err := LoadCertificate(cert, "", slog.New(slog.DiscardHandler)); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("no key: %v", err)
	}
	if c.Config().MinVersion != tls.VersionTLS12 {
		t.Error("old versions of TLS are spoken")
	}
}

func writeCertificate(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
