package module

import (
	"slices"
	"testing"
)

func TestModulesAreNotToldTheOwnersSecrets(t *testing.T) {
	t.Setenv("COMA_PASSWORD", "secret")
	t.Setenv("COMA_BROKER_PASSWORD", "secret")
	t.Setenv("OPENAI_API_KEY", "the modules' own")
	env := Environ(map[string]string{"MODEL": "small"})
	for _, want := range []string{"OPENAI_API_KEY=the modules' own", "MODEL=small"} {
		if !slices.Contains(env, want) {
			t.Errorf("the environment has no %s", want)
		}
	}
	for _, secret := range []string{"COMA_PASSWORD=secret", "COMA_BROKER_PASSWORD=secret"} {
		if slices.Contains(env, secret) {
			t.Errorf("the environment has %s", secret)
		}
	}
	if value, ok := newEnvironment(nil).lookup("COMA_PASSWORD"); ok {
		t.Errorf("a module that shares its process sees COMA_PASSWORD=%s", value)
	}
}
