package peers

import (
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATS starts a NATS server with JetStream and MQTT in the test's own process.
func NATS(t Test, opt BrokerOptions) *Broker {
	t.Helper()
	if len(opt.Prefix) > 0 {
		t.Fatalf("NATS runs in the test's own process: it has no Prefix")
	}
	b := newBroker(t, "nats", opt)
	dir := t.TempDir()
	var s *server.Server
	b.run = func() (err error) {
		s, err = server.NewServer(&server.Options{
			ServerName: "coma", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
			JetStream: true, StoreDir: dir, NoSystemAccount: true,
			MQTT:     server.MQTTOpts{Host: b.opt.Host, Port: b.opt.Port},
			Username: opt.User, Password: opt.Password,
		})
		if err != nil {
			return err
		}
		s.Start()
		if !s.ReadyForConnections(20 * time.Second) {
			return errors.New("it does not get ready")
		}
		return nil
	}
	b.end = func(bool) {
		s.Shutdown()
		s.WaitForShutdown()
	}
	t.Cleanup(b.Stop)
	b.Start()
	return b
}
