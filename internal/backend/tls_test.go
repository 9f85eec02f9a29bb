package backend_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/backend"
)

// certificate writes one for this machine and returns its files and what trusts it.
func certificate(t *testing.T) (cert, key string, trust *tls.Config) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, &tls.Config{RootCAs: pool}
}

func TestTLS(t *testing.T) {
	cert, key, trust := certificate(t)
	b, _ := exposed(t, map[string]access.Permissions{"lamp": {Publish: []string{"room/#"}, Subscribe: []string{"room/#"}}},
		func(o *backend.Options) { o.TLSCert, o.TLSKey = cert, key })
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(status.Broker, "mqtts://") || !strings.HasPrefix(status.API, "https://") {
		t.Fatalf("status says %s, %s", status.Broker, status.API)
	}
	here := func(address string) string { // it says on which address it listens: any
		_, port, err := net.SplitHostPort(address[strings.Index(address, "//")+2:])
		if err != nil {
			t.Fatal(err)
		}
		return "127.0.0.1:" + port
	}
	mqtt, api := here(status.Broker), here(status.API)
	for name, address := range map[string]string{
		"MQTT with TLS": "ssl://" + mqtt, "MQTT by a secure WebSocket": "wss://" + api + "/mqtt",
		"plain MQTT of this machine": "tcp://" + mqtt, "MQTT by a WebSocket of this machine": "ws://" + api + "/mqtt",
	} {
		t.Run(name, func(t *testing.T) {
			to := func(o *paho.ClientOptions) {
				o.Servers = nil
				o.AddBroker(address).SetTLSConfig(trust)
			}
			c := device(t, b, "lamp", as("lamp", password), to)
			heard := subscribe(t, c, "room/#")
			large := strings.Repeat("x", 200_000)
			await(t, c.Publish("room/lamp", 2, false, large))
			if got := next(t, heard); got != "room/lamp "+large {
				t.Errorf("heard %d bytes", len(got))
			}
			if !refused(t, b, "other", as("lamp", "wrong"), to) {
				t.Error("a wrong password was let in")
			}
		})
	}
	t.Run("HTTP", func(t *testing.T) {
		transport := &http.Transport{TLSClientConfig: trust}
		defer transport.CloseIdleConnections()
		for _, address := range []string{"https://" + api, "http://" + api} {
			answer, err := (&http.Client{Transport: transport}).Get(address + "/health")
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", address, answer.Status)
			}
		}
		old := trust.Clone()
		old.MaxVersion = tls.VersionTLS11
		if conn, err := tls.Dial("tcp", api, old); err == nil {
			conn.Close()
			t.Error("TLS 1.1 is spoken")
		}
	})
	t.Run("the link", func(t *testing.T) {
		transport := &http.Transport{TLSClientConfig: trust}
		defer transport.CloseIdleConnections()
		ws, _, err := websocket.Dial(within(t), "wss://"+api+"/rpc", &websocket.DialOptions{
			HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"coma", "coma.token." + token},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		if err := ws.Write(within(t), websocket.MessageText, []byte(`{"jsonrpc":"2.0","id":1,"method":"status"}`)); err != nil {
			t.Fatal(err)
		}
		if _, answer, err := ws.Read(within(t)); err != nil || !strings.Contains(string(answer), `"result"`) {
			t.Errorf("answer %s, %v", answer, err)
		}
	})
}

// A web page of another machine may not connect to the broker of this one, which asks for no password here.
func TestMQTTByWebSocketLooksAtTheOrigin(t *testing.T) {
	b := open(t)
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for origin, allowed := range map[string]bool{"": true, "http://localhost:3000": true, "http://evil.example": false, "null": false} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		ws, _, err := websocket.Dial(within(t), status.API+"/mqtt", &websocket.DialOptions{Subprotocols: []string{"mqtt"}, HTTPHeader: header})
		if (err == nil) != allowed {
			t.Errorf("from %q: %v", origin, err)
		}
		if err == nil {
			ws.CloseNow()
		}
	}
}
