package backend_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/crypto/bcrypt"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

const password, token = "a blackbird sings", "0123456789abcdef0123456789abcdef"

// exposed opens a backend that listens to the network, with users who all have the same password.
func exposed(t *testing.T, permissions map[string]access.Permissions, change ...func(*backend.Options)) (*backend.Backend, *access.Users) {
	t.Helper()
	folders := in(t.TempDir())
	users, err := access.Open(backend.UsersPath(folders))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range permissions {
		if err := users.Set(name, access.User{Hash: string(hash), Permissions: p}); err != nil {
			t.Fatal(err)
		}
	}
	change = append([]func(*backend.Options){func(o *backend.Options) { o.Folders, o.Host, o.Token = folders, "0.0.0.0", token }}, change...)
	return open(t, change...), users
}

func as(user, password string) func(*paho.ClientOptions) {
	return func(o *paho.ClientOptions) {
		o.SetUsername(user).SetPassword(password).SetConnectRetry(false).SetAutoReconnect(false)
	}
}

// refused reports whether a client with these options is turned away at CONNECT.
func refused(t *testing.T, b *backend.Backend, id string, change ...func(*paho.ClientOptions)) bool {
	t.Helper()
	opt := paho.NewClientOptions().AddBroker(brokerOf(t, b)).SetClientID(id).SetConnectRetry(false).SetAutoReconnect(false)
	for _, c := range change {
		c(opt)
	}
	c := paho.NewClient(opt)
	connecting := c.Connect()
	if !connecting.WaitTimeout(20 * time.Second) {
		t.Fatal("no answer to CONNECT")
	}
	c.Disconnect(0)
	return connecting.Error() != nil
}

func TestWhoComesInByMQTT(t *testing.T) {
	b, _ := exposed(t, map[string]access.Permissions{
		"lamp": {Publish: []string{"room/lamp/#"}}, "garden": {Agents: []string{"garden"}},
	})
	will := func(topic string) func(*paho.ClientOptions) {
		return func(o *paho.ClientOptions) { o.SetWill(topic, "gone", 1, false) }
	}
	tests := []struct {
		name, id string
		change   []func(*paho.ClientOptions)
		in       bool
	}{
		{"a user", "1", []func(*paho.ClientOptions){as("lamp", password)}, true},
		{"the owner, by the token", "1", []func(*paho.ClientOptions){as("coma", token)}, true},
		{"nobody", "1", nil, false},
		{"a wrong password", "1", []func(*paho.ClientOptions){as("lamp", password+" ")}, false},
		{"no password", "1", []func(*paho.ClientOptions){as("lamp", "")}, false},
		{"an unknown user", "1", []func(*paho.ClientOptions){as("lamps", password)}, false},
		{"the owner with a user's password", "1", []func(*paho.ClientOptions){as("coma", password)}, false},
		{"the backend's own client", "inline", []func(*paho.ClientOptions){as("coma", token)}, false},
		{"the mirror", "coma-mirror", []func(*paho.ClientOptions){as("coma", token)}, false},
		{"a module of another's agent", "garden/soil", []func(*paho.ClientOptions){as("lamp", password)}, false},
		{"a module of the user's agent", "garden/soil", []func(*paho.ClientOptions){as("garden", password)}, true},
		{"a last will", "1", []func(*paho.ClientOptions){as("lamp", password), will("room/lamp/gone")}, true},
		{"a last will of others", "1", []func(*paho.ClientOptions){as("lamp", password), will("room/door/gone")}, false},
		{"a last will that is a state", "1", []func(*paho.ClientOptions){as("coma", token), will("coma/agents/a/modules/b")}, false},
		{"a last will with wildcards", "1", []func(*paho.ClientOptions){as("coma", token), will("room/#")}, false},
		{"a last will to the broker", "1", []func(*paho.ClientOptions){as("coma", token), will("$SYS/broker/version")}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id := test.id
			if id == "1" {
				id = test.name // one that is still on its way out is another user's
			}
			if got := refused(t, b, id, test.change...); got == test.in {
				t.Errorf("refused: %t", got)
			}
		})
	}
}

func TestWhatAUserMayOverMQTT(t *testing.T) {
	b, users := exposed(t, map[string]access.Permissions{
		"lamp": {Publish: []string{"room/lamp/#"}, Subscribe: []string{"room/+/switch"}}, "nosy": {Subscribe: []string{"#"}, Agents: []string{"mine"}},
	})
	h := attach(t, b, api.Attachment{Agent: "other", Modules: []string{"x"}}, newConsole())
	attach(t, b, api.Attachment{Agent: "mine", Modules: []string{"x"}}, newConsole())
	if err := h.Report(within(t), api.ModuleState{Module: "x", State: api.Running}); err != nil {
		t.Fatal(err)
	}
	all := subscribe(t, device(t, b, "owner", as("coma", token)), "room/#")
	lamp, nosy := device(t, b, "lamp", as("lamp", password)), device(t, b, "nosy", as("nosy", password))
	heard := subscribe(t, nosy, "#")
	for pattern, allowed := range map[string]bool{
		"room/+/switch": true, "room/lamp/switch": true, "room/#": false, "#": false, "$SYS/#": false, "coma/agents/#": false,
		"concurrent_modular_agent/message/other/x": false,
	} {
		t.Run(pattern, func(t *testing.T) {
			got := lamp.Subscribe(pattern, 1, func(paho.Client, paho.Message) {})
			if !got.WaitTimeout(20 * time.Second) {
				t.Fatal("no answer")
			}
			code := got.(*paho.SubscribeToken).Result()[pattern]
			if (code < 0x80) != allowed {
				t.Errorf("SUBACK is %#x", code)
			}
		})
	}
	// QoS 0: a publication that is not allowed is dropped in silence (QoS 1 and 2 cut the connection in MQTT 3.1.1).
	for _, topic := range []string{"room/door", "concurrent_modular_agent/message/other/x", "coma/agents/other/modules/x", "coma/hosts/a/mail"} {
		await(t, lamp.Publish(topic, 0, true, "forged"))
	}
	await(t, lamp.Publish("room/lamp/on", 1, false, "yes"))
	for who, heard := range map[string]<-chan string{"owner": all, "nosy": heard} {
		if got := next(t, heard); got != "room/lamp/on yes" {
			t.Errorf("%s heard %q first", who, got)
		}
	}
	// What is said to others' agents, and their states, are nobody else's affair.
	for _, to := range []string{"other/x", "mine/x"} {
		if err := b.Post(within(t), "cli", api.Message{To: to, Text: "secret"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := next(t, heard); got != "concurrent_modular_agent/message/mine/x secret" {
		t.Errorf("nosy hears %q, want what was said to its agent", got)
	}
	await(t, lamp.Publish("room/lamp/on", 1, false, "again"))
	if got := next(t, heard); got != "room/lamp/on again" {
		t.Errorf("nosy hears %q then", got)
	}
	if waiting, err := b.Waiting(within(t), "other", "x", false); err != nil || len(waiting) != 1 {
		t.Errorf("other/x has %v, %v: want the message of the owner alone", waiting, err)
	}
	// A user whose permissions change has the new ones within a second or so.
	u := users.All()["lamp"]
	u.Publish = nil
	if err := users.Set("lamp", u); err != nil {
		t.Fatal(err)
	}
	owner := device(t, b, "owner too", as("coma", token))
	deadline := within(t)
	for late := true; late; {
		await(t, lamp.Publish("room/lamp/on", 0, false, "late"))
		await(t, lamp.Subscribe("room/lamp/switch", 0, nil)) // answered when what was published before is dealt with
		await(t, owner.Publish("room/mark", 1, false, ""))
		late = false
		for got := ""; got != "room/mark "; {
			got = next(t, all)
			late = late || got == "room/lamp/on late"
		}
		if deadline.Err() != nil {
			t.Fatal("the old permission is still good")
		}
	}
}

// A device whose message is dropped, or that is cut off for it, hears no reason: the log has it.
func TestTheLogTellsWhatAUserMayNotDo(t *testing.T) {
	for _, test := range []struct {
		wants string
		try   func(t *testing.T, lamp paho.Client)
	}{
		{"publish", func(t *testing.T, lamp paho.Client) { await(t, lamp.Publish("room/door", 0, false, "open")) }},
		{"subscribe", func(t *testing.T, lamp paho.Client) {
			if !lamp.Subscribe("room/door", 1, nil).WaitTimeout(20 * time.Second) {
				t.Fatal("no answer")
			}
		}},
	} {
		t.Run(test.wants, func(t *testing.T) {
			log := &logged{}
			b, _ := exposed(t, map[string]access.Permissions{"lamp": {Publish: []string{"room/lamp/#"}, Subscribe: []string{"room/+/switch"}}},
				func(o *backend.Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
			lamp := device(t, b, "lamp", as("lamp", password))
			test.try(t, lamp)
			await(t, lamp.Publish("room/lamp/on", 1, false, "yes")) // answered when what was said before is dealt with
			if want := "client=lamp user=lamp wants=" + test.wants + " topic=room/door refused=1"; strings.Count(log.String(), want) != 1 {
				t.Errorf("want %q once in\n%s", want, log)
			}
		})
	}
}

func TestARemovedUserIsCutOff(t *testing.T) {
	b, users := exposed(t, map[string]access.Permissions{"lamp": {Publish: []string{"#"}, Agents: []string{"a"}}})
	attach(t, b, api.Attachment{Modules: []string{"x"}}, newConsole())
	lost := make(chan struct{})
	device(t, b, "lamp", as("lamp", password), func(o *paho.ClientOptions) {
		o.SetConnectionLostHandler(func(paho.Client, error) { close(lost) })
	})
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := link.Dial(within(t), status.API, "lamp:"+password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Post(within(t), "cli", api.Message{To: "a/x", Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	if err := users.Remove("lamp"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-lost:
	case <-within(t).Done():
		t.Fatal("the MQTT client is still connected")
	}
	if err := c.Post(within(t), "cli", api.Message{To: "a/x", Text: "hello"}); !errors.Is(err, api.ErrUnauthorized) && !errors.Is(err, api.ErrClosed) {
		t.Errorf("post by a link that was made before: %v", err)
	}
	if !refused(t, b, "lamp", as("lamp", password)) {
		t.Error("a removed user comes in")
	}
}

// A session that was left under a client ID is not inherited by another user, who would get the messages in it.
func TestASessionIsItsUsersAlone(t *testing.T) {
	b, _ := exposed(t, map[string]access.Permissions{"lamp": {Subscribe: []string{"#"}}, "thief": {Subscribe: []string{"#"}}})
	stays := func(o *paho.ClientOptions) { o.SetCleanSession(false) }
	lamp := device(t, b, "bedroom", as("lamp", password), stays)
	subscribe(t, lamp, "room/lamp")
	lamp.Disconnect(100)
	if err := b.Publish(within(t), "cli", api.Publication{Topic: "room/lamp", Payload: []byte("secret"), QoS: 1}); err != nil {
		t.Fatal(err)
	}
	for _, clean := range []bool{false, true} {
		if !refused(t, b, "bedroom", as("thief", password), func(o *paho.ClientOptions) { o.SetCleanSession(clean) }) {
			t.Errorf("clean %t: a session was taken over by another user", clean)
		}
	}
	heard := make(chan string, 1)
	device(t, b, "bedroom", as("lamp", password), stays, func(o *paho.ClientOptions) {
		o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { heard <- string(m.Payload()) })
	})
	if got := next(t, heard); got != "secret" {
		t.Errorf("heard %q", got)
	}
}

func TestWhatAUserMayOverTheLink(t *testing.T) {
	b, _ := exposed(t, map[string]access.Permissions{"gardener": {Agents: []string{"garden"}, Publish: []string{"room/#"}}, "boss": {Admin: true}})
	for _, agent := range []string{"garden", "other"} {
		h := attach(t, b, api.Attachment{Agent: agent, Modules: []string{"x"}}, newConsole())
		if err := h.Report(within(t), api.ModuleState{Module: "x", State: api.Running}); err != nil {
			t.Fatal(err)
		}
		if err := b.CreateMemory(within(t), agent, ""); err != nil {
			t.Fatal(err)
		}
	}
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(token string) *link.Client {
		c, err := link.Dial(within(t), status.API, token)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	user, boss, owner := dial("gardener:"+password), dial("boss:"+password), dial(token)
	for what, do := range map[string]func(c *link.Client, agent string) error{
		"post": func(c *link.Client, agent string) error {
			return c.Post(within(t), "cli", api.Message{To: agent + "/x"})
		},
		"mailboxes": func(c *link.Client, agent string) error { _, err := c.Mailboxes(within(t), agent); return err },
		"waiting":   func(c *link.Client, agent string) error { _, err := c.Waiting(within(t), agent, "x", true); return err },
		"redeliver": func(c *link.Client, agent string) error {
			_, err := c.Redeliver(within(t), agent, "x", nil)
			return err
		},
		"drop":   func(c *link.Client, agent string) error { _, err := c.DropDead(within(t), agent, "x", nil); return err },
		"create": func(c *link.Client, agent string) error { return c.CreateMemory(within(t), agent, "") },
		"memory": func(c *link.Client, agent string) error {
			m, err := c.OpenMemory(within(t), agent)
			if err != nil {
				return err
			}
			_, err = m.Count(within(t), nil)
			return errors.Join(err, m.Close())
		},
		"seat": func(_ *link.Client, agent string) error {
			s, err := link.Open(within(t), status.API, "gardener:"+password, api.Identity{Agent: agent, Module: "y", Generation: 1})
			if err != nil {
				return err
			}
			return s.Close(api.Finished)
		},
	} {
		if err := do(user, "garden"); err != nil {
			t.Errorf("%s of the user's agent: %v", what, err)
		}
		if err := do(user, "other"); !errors.Is(err, api.ErrUnauthorized) {
			t.Errorf("%s of another agent: %v", what, err)
		}
		if err := do(user, "nosuchagent"); !errors.Is(err, api.ErrUnauthorized) {
			t.Errorf("%s of an agent that is not there tells so: %v", what, err)
		}
	}
	for what, do := range map[string]func(c *link.Client) error{
		"attach": func(c *link.Client) error {
			h, err := c.Attach(within(t), api.Attachment{Agent: "garden2"}, newConsole())
			if err == nil {
				err = h.Close()
			}
			return err
		},
		"compact": func(c *link.Client) error { _, err := c.CompactMemory(within(t), "garden"); return err },
		"backup": func(c *link.Client) error {
			_, err := c.BackupMemory(within(t), "garden", t.TempDir()+"/m.json")
			return err
		},
		"forget":   func(c *link.Client) error { return c.Forget(within(t), "nomemory") },
		"remove":   func(c *link.Client) error { return c.RemoveMemory(within(t), "nomemory") },
		"shutdown": func(c *link.Client) error { return c.Shutdown(within(t)) },
	} {
		if err := do(user); !errors.Is(err, api.ErrUnauthorized) {
			t.Errorf("a user: %s: %v", what, err)
		}
		for _, c := range []*link.Client{boss, owner} {
			if err := do(c); errors.Is(err, api.ErrUnauthorized) {
				t.Errorf("an admin: %s: %v", what, err)
			}
		}
	}
	agents, err := user.Agents(within(t))
	if err != nil || len(agents) != 1 || agents[0].Agent != "garden" {
		t.Errorf("agents are %v, %v", agents, err)
	}
	memories, err := user.Memories(within(t), true)
	if err != nil || len(memories) != 1 || memories[0].Name != "garden" {
		t.Errorf("memories are %v, %v", memories, err)
	}
	if all, err := boss.Memories(within(t), true); err != nil || len(all) != 2 {
		t.Errorf("an admin sees %v, %v", all, err)
	}

	// A module that a user speaks as reaches no further than the user.
	s, err := link.Open(within(t), status.API, "gardener:"+password, api.Identity{Agent: "garden", Module: "y", Generation: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(api.Finished)
	if err := s.Send(within(t), api.Message{To: "x", Text: "hello"}); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"send":           s.Send(within(t), api.Message{To: "other/x", Text: "hello"}),
		"publish":        s.Publish(within(t), api.Publication{Topic: "house/door"}),
		"publish as one": s.Publish(within(t), api.Publication{Topic: "concurrent_modular_agent/message/other/x"}),
		"subscribe":      s.Subscribe(within(t), "#"),
	} {
		if !errors.Is(err, api.ErrUnauthorized) {
			t.Errorf("as a module: %s: %v", what, err)
		}
	}
	if err := s.Publish(within(t), api.Publication{Topic: "room/door"}); err != nil {
		t.Error(err)
	}

	// Listening to all is listening to what is allowed.
	ctx, cancel := context.WithCancel(within(t))
	heard := make(chan string, 100)
	ended := make(chan error)
	go func() { ended <- user.Listen(ctx, "#", func(h api.Heard) { heard <- h.Topic }) }()
	if got := next(t, heard); got != "" {
		t.Fatalf("heard %q before it listens", got)
	}
	for _, to := range []string{"other/x", "garden/x"} {
		if err := owner.Post(within(t), "cli", api.Message{To: to, Text: "hello"}); err != nil {
			t.Fatal(err)
		}
	}
	for {
		got := next(t, heard)
		if strings.Contains(got, "other") {
			t.Errorf("heard %s", got)
		}
		if got == api.MessageTopic("garden", "x") {
			break
		}
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWhatAUserMayOverChroma(t *testing.T) {
	b, _ := exposed(t, map[string]access.Permissions{"gardener": {Agents: []string{"garden", "new"}}})
	for _, agent := range []string{"garden", "other"} {
		if err := b.CreateMemory(within(t), agent, ""); err != nil {
			t.Fatal(err)
		}
	}
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(user, method, path, body string) (int, []map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(within(t), method, status.API+"/api/v2"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		switch user {
		case "coma":
			r.Header.Set("X-Chroma-Token", token)
		case "":
		default:
			r.SetBasicAuth(user, password)
		}
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		data, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		var list []map[string]any
		if json.Unmarshal(data, &list) != nil {
			one := map[string]any{}
			if json.Unmarshal(data, &one) == nil {
				list = append(list, one)
			}
		}
		return answer.StatusCode, list
	}
	const collections, prefix = "/tenants/default_tenant/databases/default_database/collections", "concurrent_modular_agent-state-"
	_, others := ask("coma", "GET", collections+"/"+prefix+"other", "")
	for _, test := range []struct {
		user, method, path, body string
		want                     int
	}{
		{"", "GET", collections, "", 401},
		{"stranger", "GET", collections, "", 401},
		{"gardener", "GET", collections + "/" + prefix + "garden", "", 200},
		{"gardener", "GET", collections + "/" + prefix + "other", "", 404},
		{"gardener", "GET", collections + "/" + others[0]["id"].(string) + "/count", "", 404},
		{"gardener", "POST", collections, `{"name":"` + prefix + `new"}`, 200},
		{"gardener", "POST", collections, `{"name":"` + prefix + `third","get_or_create":true}`, 403},
		{"gardener", "POST", collections, `{"name":"mine"}`, 403},
		{"gardener", "DELETE", collections + "/" + prefix + "garden", "", 403},
		{"gardener", "DELETE", collections + "/" + prefix + "other", "", 404},
		{"gardener", "POST", "/tenants", `{"name":"more"}`, 403},
		{"gardener", "POST", "/tenants/default_tenant/databases", `{"name":"collections"}`, 403},
		{"coma", "POST", "/tenants", `{"name":"more"}`, 200},
		{"coma", "POST", "/tenants", `{"name":"collections"}`, 200},
		{"coma", "POST", "/tenants/collections/databases", `{"name":"collections"}`, 200},
		{"gardener", "PATCH", "/tenants/collections", `{"resource_name":"mine"}`, 403},
		{"gardener", "POST", "/tenants/collections/databases", `{"name":"mine"}`, 403},
		{"gardener", "DELETE", "/tenants/collections/databases/collections", "", 403},
	} {
		if got, _ := ask(test.user, test.method, test.path, test.body); got != test.want {
			t.Errorf("%s: %s %s %s: %d, want %d", test.user, test.method, test.path, test.body, got, test.want)
		}
	}
	_, list := ask("gardener", "GET", collections, "")
	var names []string
	for _, c := range list {
		names = append(names, c["name"].(string))
	}
	if want := []string{prefix + "garden", prefix + "new"}; !slices.Equal(names, want) {
		t.Errorf("the user's collections are %v, want %v", names, want)
	}
}

func TestHostAndOriginFromOutside(t *testing.T) {
	b, _ := exposed(t, map[string]access.Permissions{"lamp": {}}, func(o *backend.Options) {
		o.AllowHosts, o.AllowOrigins = []string{"coma.example"}, []string{"https://page.example"}
	})
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	basic := base64.RawURLEncoding.EncodeToString([]byte("lamp:" + password))
	tests := []struct {
		name, host, origin, protocols string
		want                          int
	}{
		{"a token as subprotocol", "", "", "coma, coma.token." + token, 101},
		{"a user as subprotocol", "", "", "coma.basic." + basic + ", coma.batch", 101},
		{"a wrong token", "", "", "coma, coma.token.x", 401},
		{"no token", "", "", "coma", 401},
		{"an address", "192.0.2.7:8000", "", "coma.token." + token, 101},
		{"an allowed name", "COMA.example.:8000", "", "coma.token." + token, 101},
		{"another name", "evil.example", "", "coma.token." + token, 403},
		{"its own page", "coma.example:8000", "http://coma.example:8000", "coma.token." + token, 101},
		{"an allowed page", "coma.example", "https://page.example", "coma.token." + token, 101},
		{"another page", "coma.example", "https://evil.example", "coma.token." + token, 403},
		{"a page without a name", "coma.example", "null", "coma.token." + token, 403},
		{"a page of this machine", "coma.example", "http://localhost:3000", "coma.token." + token, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(within(t), "GET", status.API+"/rpc", nil)
			if err != nil {
				t.Fatal(err)
			}
			for key, value := range map[string]string{
				"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
				"Sec-WebSocket-Protocol": test.protocols,
			} {
				r.Header.Set(key, value)
			}
			if test.host != "" {
				r.Host = test.host
			}
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			answer := answered(t, r, test.want)
			if chosen := answer.Header.Get("Sec-WebSocket-Protocol"); strings.Contains(chosen, ".token") || strings.Contains(chosen, ".basic") {
				t.Errorf("the secret is answered: %s", chosen)
			}
		})
	}
}
