package access

import (
	"testing"
)

func TestPermissions(t *testing.T) {
	users := openUsers(t)
	hash := hashed(t, "a long password")
	for name, p := range map[string]Permissions{
		"boss":     {Admin: true},
		"lamp":     {Publish: []string{"room/lamp/#"}, Subscribe: []string{"room/+/switch"}},
		"gardener": {Agents: []string{"garden"}},
		"everyone": {Agents: []string{"*"}},
		"nosy":     {Publish: []string{"#", "+/+/+/+"}, Subscribe: []string{"#"}, Agents: []string{"garden"}},
		"sensor":   {Publish: []string{"concurrent_modular_agent/message/garden/soil"}, Subscribe: []string{"coma/agents/garden/modules/soil"}},
		"none":     {},
	} {
		if err := users.Set(name, User{Hash: hash, Permissions: p}); err != nil {
			t.Fatal(err)
		}
	}
	const message, state = "concurrent_modular_agent/message/", "coma/agents/"
	tests := []struct {
		user, do, what string
		want           bool
	}{
		{"boss", "publish", message + "any/thing", true}, {"boss", "hear", "$SYS/a", true}, {"boss", "agent", "garden", true},
		{"lamp", "publish", "room/lamp/on", true}, {"lamp", "publish", "room/lamp", true}, {"lamp", "publish", "room/door", false},
		{"lamp", "hear", "room/lamp/switch", true}, {"lamp", "subscribe", "room/+/switch", true}, {"lamp", "subscribe", "room/#", false},
		{"lamp", "subscribe", "$share/all/room/lamp/switch", true}, {"lamp", "subscribe", "$SHARE/all/room/lamp", false}, {"lamp", "subscribe", "$share/room/lamp/switch", false},
		{"lamp", "publish", message + "garden/soil", false}, {"lamp", "agent", "garden", false},
		{"gardener", "publish", message + "garden/soil", true}, {"gardener", "publish", message + "garden/soil/from/x", true},
		{"gardener", "publish", message + "gardens/soil", false}, {"gardener", "publish", message + "garden", false}, {"gardener", "publish", message + "+/soil", false},
		{"gardener", "publish", state + "garden/modules/soil", false}, {"gardener", "hear", state + "garden/modules/soil", true},
		{"gardener", "subscribe", message + "garden/#", true}, {"gardener", "subscribe", message + "+/soil", false}, {"gardener", "subscribe", message + "#", false},
		{"gardener", "subscribe", state + "garden/modules/+", true}, {"gardener", "subscribe", state + "+/modules/+", false}, {"gardener", "hear", "room/lamp", false},
		{"everyone", "publish", message + "any/soil", true}, {"everyone", "subscribe", message + "+/soil", false}, {"everyone", "agent", "any", true},
		{"nosy", "publish", "room/lamp", true}, {"nosy", "publish", message + "other/soil", false}, {"nosy", "hear", message + "other/soil", false},
		{"nosy", "hear", message + "garden/soil", true}, {"nosy", "hear", "room/lamp", true}, {"nosy", "subscribe", "#", true}, {"nosy", "hear", "coma/hosts/a/mail", false},
		{"nosy", "hear", "$SYS/broker/version", false}, {"nosy", "publish", "coma/hosts/a/mail", false}, {"nosy", "hear", "coma", false},
		{"sensor", "publish", message + "garden/soil", true}, {"sensor", "publish", message + "garden/other", false}, {"sensor", "agent", "garden", false},
		{"sensor", "hear", state + "garden/modules/soil", true},
		{"none", "publish", "a", false}, {"none", "hear", "a", false}, {"none", "agent", "garden", false}, {"none", "subscribe", "a", false},
	}
	for _, test := range tests {
		id, err := users.Login(t.Context(), "127.0.0.1", test.user, "a long password")
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(id, test.do, test.what); got != test.want {
			t.Errorf("%s: %s %s: %t", test.user, test.do, test.what, got)
		}
	}
	for _, do := range []string{"publish", "hear", "subscribe", "agent"} {
		if ask(Identity{}, do, "a") {
			t.Errorf("a stranger may %s", do)
		}
		if !ask(Owner(), do, "a") {
			t.Errorf("the owner may not %s", do)
		}
	}
}

func ask(id Identity, do, what string) bool {
	switch do {
	case "publish":
		return id.Publish(what)
	case "hear":
		return id.Hear(what)
	case "subscribe":
		return id.Subscribe(what)
	}
	return id.Agent(what)
}

func TestAnIdentityIsWhatTheFileSaysNow(t *testing.T) {
	users := openUsers(t)
	if err := users.Set("lamp", User{Hash: hashed(t, "password one"), Permissions: Permissions{Publish: []string{"a"}}}); err != nil {
		t.Fatal(err)
	}
	id, err := users.Login(t.Context(), "", "lamp", "password one")
	if err != nil {
		t.Fatal(err)
	}
	if !id.Publish("a") || id.Publish("b") || !id.Valid() || id.Admin() {
		t.Error("the permissions are not the file's")
	}
	if err := users.Set("lamp", User{Hash: users.All()["lamp"].Hash, Permissions: Permissions{Publish: []string{"b"}}}); err != nil {
		t.Fatal(err)
	}
	if id.Publish("a") || !id.Publish("b") {
		t.Error("the permissions are not the new ones")
	}
	if err := users.Set("lamp", User{Hash: hashed(t, "password two"), Permissions: Permissions{Publish: []string{"b"}}}); err != nil {
		t.Fatal(err)
	}
	if id.Valid() || id.Publish("b") {
		t.Error("the old password is still good for a connection")
	}
	if _, err := users.Login(t.Context(), "", "lamp", "password one"); err == nil {
		t.Error("the old password is still good")
	}
	if id, err = users.Login(t.Context(), "", "lamp", "password two"); err != nil || !id.Valid() {
		t.Error("the new password is not good", err)
	}
	if err := users.Remove("lamp"); err != nil {
		t.Fatal(err)
	}
	if id.Valid() {
		t.Error("a removed user is still somebody")
	}
}
