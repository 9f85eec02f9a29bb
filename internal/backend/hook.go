package backend

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// hook is called by the embedded broker for what the gate has let in.
type hook struct {
	mqtt.HookBase
	broker *embedded

	mu      sync.Mutex
	waiting map[string]waiting      // messages of MQTT clients that are being accepted, by client ID
	latest  map[string]*mqtt.Client // the connection of each client ID that was made last
}

// waiting is a message that is being accepted, which takes as long as the mailbox is full.
type waiting struct {
	client *mqtt.Client
	cancel context.CancelFunc
}

func (h *hook) ID() string { return "coma" }

func (h *hook) Provides(method byte) bool {
	switch method {
	case mqtt.OnSessionEstablish, mqtt.OnDisconnect, mqtt.OnPublish, mqtt.OnWillSent, mqtt.OnPublishDropped, mqtt.OnQosDropped:
		return true
	}
	return false
}

// OnSessionEstablish notes that a client has come in.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	// A client that connects anew sends again what was not acknowledged: what its lost connection still waits for, or is
	// read from that only now, would arrive twice.
	h.mu.Lock()
	defer h.mu.Unlock()
	h.latest[cl.ID] = cl
	if old, ok := h.waiting[cl.ID]; ok && old.client != cl {
		old.cancel()
	}
}

// OnDisconnect forgets a connection.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.latest[cl.ID] == cl {
		delete(h.latest, cl.ID)
	}
}

// OnPublish puts a message for a module into its mailbox before the broker acknowledges it. Where the mailbox is full,
// the sender's connection waits.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl == h.broker.mirrorer {
		return pk, nil // it comes from a mailbox
	}
	if err := h.accept(cl, pk); err != nil {
		h.broker.backend.log.Error("message over MQTT was not accepted",
			slog.String("topic", pk.TopicName), slog.String("client", cl.ID), slog.Any("error", err))
		return pk, packets.ErrRejectPacket // not acknowledged: the client sends it again
	}
	return pk, nil
}

// OnWillSent does the same for a last will.
func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	if err := h.accept(cl, pk); err != nil {
		h.broker.backend.log.Error("last will over MQTT was not accepted",
			slog.String("topic", pk.TopicName), slog.String("client", cl.ID), slog.Any("error", err))
	}
}

// accept puts what is published on a module's message topic into its mailbox.
func (h *hook) accept(cl *mqtt.Client, pk packets.Packet) error {
	name, module, ok := addressee(pk.TopicName)
	if !ok {
		return nil
	}
	b := h.broker.backend
	a, err := b.use(name, nil)
	if err != nil {
		return nil // not an agent of ours; others may subscribe to it
	}
	defer a.done()
	box, ok := a.boxes.Lookup(module)
	if !ok {
		if !h.broker.serves(pk.TopicName) {
			b.log.Warn("message over MQTT for a module that is not there", slog.String("topic", pk.TopicName), slog.String("client", cl.ID))
		}
		return nil
	}
	if a.absent(module) && h.broker.serves(pk.TopicName) {
		return nil // the broker passes it on
	}
	ctx, cancel := context.WithCancel(b.life)
	defer cancel()
	h.mu.Lock()
	if latest := h.latest[cl.ID]; latest != nil && latest != cl && pk.FixedHeader.Qos > 0 {
		h.mu.Unlock()
		return errors.New("the client has connected anew and sends it again")
	}
	h.waiting[cl.ID] = waiting{cl, cancel}
	h.mu.Unlock()
	_, err = box.Put(ctx, api.Message{
		ID: api.NewID(), From: h.broker.couriers.sender(pk), To: name + "/" + module, Time: time.Now(), Text: string(pk.Payload),
	})
	h.mu.Lock()
	if h.waiting[cl.ID].client == cl {
		delete(h.waiting, cl.ID)
	}
	h.mu.Unlock()
	return err
}

// OnPublishDropped tells of publications that a slow client misses.
func (h *hook) OnPublishDropped(cl *mqtt.Client, pk packets.Packet) {
	h.tell(cl, "an MQTT client reads too slowly and misses publications", pk.TopicName)
}

// OnQosDropped tells of messages that a client never acknowledged.
func (h *hook) OnQosDropped(cl *mqtt.Client, pk packets.Packet) {
	h.tell(cl, "an MQTT client never acknowledged a publication", pk.TopicName)
}

func (h *hook) tell(cl *mqtt.Client, what, topic string) {
	if n := h.broker.lost.add(1); n > 0 {
		h.broker.backend.log.Warn(what, slog.String("client", cl.ID), slog.String("topic", topic), slog.Int("missed", n))
	}
}
