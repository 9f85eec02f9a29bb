package access

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
)

// wire is one end of a pipe with an address.
type wire struct {
	net.Conn
	address string
}

func (w wire) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(w.address), Port: 1} }
func (w wire) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 2} }

func TestOthersSpeakTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key, 1)
	c, err := LoadCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, address string
		tls           bool
		want          error
	}{
		{"TLS from elsewhere", "192.0.2.1", true, nil},
		{"TLS from here", "127.0.0.1", true, nil},
		{"plain from elsewhere", "192.0.2.1", false, errPlain},
		{"plain from here", "127.0.0.1", false, nil},
		{"plain from here, by the machine's own address", "192.0.2.7", false, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			near, far := net.Pipe()
			in := make(pipes, 1)
			in <- wire{near, test.address}
			conn, err := Secure(in, c.Config()).Accept()
			if err != nil {
				t.Fatal(err)
			}
			var client net.Conn = far
			if test.tls {
				client = tls.Client(far, &tls.Config{InsecureSkipVerify: true})
			}
			answered := make(chan []byte, 1)
			go func() {
				client.Write([]byte("hello")) // fails where it is refused
				answer := make([]byte, 5)
				n, _ := io.ReadFull(client, answer) // likewise
				answered <- answer[:n]
			}()
			said := make([]byte, 5)
			_, err = io.ReadFull(conn, said)
			if !errors.Is(err, test.want) || err == nil && string(said) != "hello" {
				t.Fatalf("read %q, %v; want %v", said, err, test.want)
			}
			if _, err := conn.Write(bytes.ToUpper(said)); !errors.Is(err, test.want) {
				t.Errorf("write: %v", err)
			}
			if test.want != nil {
				conn.Close()
			}
			if answer := <-answered; test.want == nil && string(answer) != "HELLO" {
				t.Errorf("the client reads %q", answer)
			}
			far.Close() // so that nobody waits for TLS's good-bye
			conn.Close()
		})
	}
}
