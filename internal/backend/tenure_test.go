package backend_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// What goes on between calls ends when its user may do something else than before: links and streams are closed, and made
// again by those who still may.
func TestLinksEndWithTheirRights(t *testing.T) {
	b, users := exposed(t, map[string]access.Permissions{
		"gone": {Agents: []string{"a"}}, "less": {Agents: []string{"a", "b"}}, "same": {Agents: []string{"a"}}, "boss": {Admin: true},
	})
	attach(t, b, api.Attachment{Modules: []string{"x", "y"}}, newConsole())
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 10)
	listen := func(user string) {
		begun := make(chan struct{})
		c, err := link.Dial(within(t), status.API, user+":"+password)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			c.Listen(t.Context(), "#", func(api.Heard) { // tells first that it listens
				select {
				case <-begun:
				default:
					close(begun)
				}
			})
			ended <- user
		}()
		<-begun
	}
	stream := func(user string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", status.API+"/v1/listen?pattern=%23", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(user, password)
		transport := &http.Transport{DisableKeepAlives: true}
		answer, err := transport.RoundTrip(r)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("listen by REST: %v, %v", answer, err)
		}
		go func() {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			ended <- user + " by REST"
		}()
	}
	for _, user := range []string{"gone", "same"} {
		listen(user)
		stream(user)
	}
	seat, err := link.Open(within(t), status.API, "less:"+password, api.Identity{Agent: "a", Module: "y", Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { seat.Close(api.Finished) })
	boss, err := link.Dial(within(t), status.API, "boss:"+password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { boss.Close() })
	run, err := boss.Attach(within(t), api.Attachment{Agent: "c", Modules: []string{"z"}}, newConsole())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run.Close() })

	all := users.All()
	less, demoted := all["less"], all["boss"]
	less.Agents, demoted.Permissions = []string{"a"}, access.Permissions{}
	for _, change := range []error{users.Set("less", less), users.Set("boss", demoted), users.Remove("gone")} {
		if change != nil {
			t.Fatal(change)
		}
	}
	got := map[string]bool{next(t, ended): true, next(t, ended): true}
	if !got["gone"] || !got["gone by REST"] {
		t.Errorf("%v have ended", got)
	}
	if err := run.Report(within(t), api.ModuleState{Module: "z", State: api.Running}); !errors.Is(err, api.ErrUnauthorized) {
		t.Errorf("who is no admin any more runs an agent: %v", err)
	}
	// Who still may speak as a module goes on, over another connection.
	if err := b.Post(within(t), "cli", api.Message{To: "a/y", Text: "still there"}); err != nil {
		t.Fatal(err)
	}
	if m, err := seat.Receive(within(t)); err != nil || m.Text != "still there" {
		t.Errorf("received %q, %v", m.Text, err)
	}
	select {
	case user := <-ended:
		t.Errorf("%s has ended, whose permissions are the same", user)
	default:
	}
}

// An admin who runs an agent from elsewhere does not learn the owner's token: its modules come in as the admin does.
func TestAnAdminDoesNotLearnTheToken(t *testing.T) {
	b, _ := exposed(t, map[string]access.Permissions{"boss": {Admin: true}})
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(token string) api.Endpoint {
		c, err := link.Dial(within(t), status.API, token)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		h, err := c.Attach(within(t), api.Attachment{Agent: "a", Modules: []string{"x"}}, newConsole())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h.Endpoint()
	}
	e := dial("boss:" + password)
	if said := fmt.Sprint(e); strings.Contains(said, token) {
		t.Errorf("an admin is told %s", said)
	}
	s, err := link.Open(within(t), e.API, e.Token, api.Identity{Agent: "a", Module: "x", Generation: 1})
	if err != nil {
		t.Fatalf("a module of the agent does not come in: %v", err)
	}
	defer s.Close(api.Finished)
	opt := paho.NewClientOptions().AddBroker(e.Broker).SetClientID("a/x").SetConnectRetry(false)
	broker, err := url.Parse(e.Broker)
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := broker.User.Password()
	if broker.User.Username() != "boss" || secret != password {
		t.Errorf("the broker is %s", broker.Redacted())
	}
	c := paho.NewClient(opt)
	await(t, c.Connect())
	c.Disconnect(0)
	if err := healthy(within(t), e.HTTP); err != nil {
		t.Error(err)
	}
}
