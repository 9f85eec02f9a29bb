package peers_test

import (
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/concurrent-modular-agent/coma/internal/peers"
)

func TestMain(m *testing.M) {
	peers.BeNATS()
	m.Run()
}

// Each broker takes messages, keeps them for a client that is away, and is the same one after a restart.
func TestBrokers(t *testing.T) {
	kinds := map[string]func(peers.Test, peers.BrokerOptions) *peers.Broker{
		"mosquitto": peers.Mosquitto, "nats": peers.NATS, "rabbitmq": peers.RabbitMQ,
	}
	for kind, start := range kinds {
		t.Run(kind, func(t *testing.T) {
			b := start(t, peers.BrokerOptions{User: "u", Password: "secret"})
			if _, err := connect(b, "u", "wrong", nil); err == nil {
				t.Error("a wrong password is let in")
			}
			reader, err := connect(b, "u", "secret", nil)
			if err != nil {
				t.Fatal(err)
			}
			if token := reader.Subscribe("there/+", 1, nil); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
				t.Fatal("subscribe:", token.Error())
			}
			reader.Disconnect(100)
			writer, err := connect(b, "u", "secret", nil, "writer")
			if err != nil {
				t.Fatal(err)
			}
			if token := writer.Publish("there/x", 1, false, "kept"); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
				t.Fatal("publish:", token.Error())
			}
			writer.Disconnect(100)
			b.Stop()
			if _, err := connect(b, "u", "secret", nil); err == nil {
				t.Error("it answers after Stop")
			}
			b.Start()
			got := make(chan string, 10)
			reader, err = connect(b, "u", "secret", func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) })
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Disconnect(100)
			select {
			case text := <-got:
				if text != "kept" {
					t.Errorf("got %q", text)
				}
			case <-time.After(20 * time.Second):
				t.Error("the message has not come")
			}
		})
	}
}

func connect(b *peers.Broker, user, password string, handle paho.MessageHandler, id ...string) (paho.Client, error) {
	opt := paho.NewClientOptions().AddBroker("tcp://" + b.Addr()).SetClientID("reader").SetUsername(user).SetPassword(password).
		SetCleanSession(false).SetAutoReconnect(false).SetProtocolVersion(4).SetDefaultPublishHandler(handle)
	if len(id) > 0 {
		opt.SetClientID(id[0]).SetCleanSession(true)
	}
	c := paho.NewClient(opt)
	token := c.Connect()
	token.Wait()
	return c, token.Error()
}
