package backend

import (
	"cmp"
	"fmt"
	"net/url"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/uplink"
)

// Uplink says which broker takes the place of the embedded one. It is kept in files, but for the password.
type Uplink struct {
	URL string `json:"url,omitempty"` // as uplink.Check says; "": none does
	// User and Password are given instead of those in URL.
	User     string `json:"user,omitempty"`
	Password string `json:"-"`
	Secret   bool   `json:"secret,omitempty"` // there is a password
	// Files; see uplink.Options.
	CA   string `json:"ca,omitempty"`
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
	// NoMirror keeps messages between modules from being shown at the broker.
	NoMirror bool `json:"no_mirror,omitempty"`
	// HostName is how the other hosts at that broker know this one; "": the machine's name and some letters.
	HostName string `json:"host_name,omitempty"`
}

// Environment variables about the broker. Modules are given the first one too: there it names their own host's.
const (
	brokerVariable   = "COMA_BROKER"
	brokerUser       = "COMA_BROKER_USER"
	brokerPassword   = "COMA_BROKER_PASSWORD"
	brokerCA         = "COMA_BROKER_CA"
	brokerCert       = "COMA_BROKER_CERT"
	brokerKey        = "COMA_BROKER_KEY"
	hostNameVariable = "COMA_HOST"
)

// ChooseUplink returns the first of choices that names a broker, or else the one that the environment names, if any. It
// has user and password apart from the URL: from there, or from the environment. What the first choice says of HostName and
// NoMirror holds for any. Errors show no password.
func ChooseUplink(getenv func(string) string, choices ...Uplink) (Uplink, error) {
	var own Uplink
	if getenv("COMA_MODULE") == "" { // else it is the broker of the host that runs this module
		own = Uplink{URL: getenv(brokerVariable), CA: getenv(brokerCA), Cert: getenv(brokerCert), Key: getenv(brokerKey)}
	}
	for _, u := range append(choices, own) {
		if u.URL == "" {
			continue
		}
		if err := uplink.Check(u.URL); err != nil {
			return Uplink{}, err
		}
		u.credentials(u.URL)
		if u.User == "" || u.Password == "" {
			if name := getenv(brokerUser); name != "" && (u.User == "" || u.User == name) {
				u.User, u.Password = name, getenv(brokerPassword)
			} else if u.User != "" {
				u.Password = getenv(brokerPassword)
			} else if uplink.Redact(own.URL) == uplink.Redact(u.URL) { // a daemon is started again, which has not kept them
				u.credentials(own.URL)
			}
		}
		if u.Secret && u.Password == "" {
			return Uplink{}, fmt.Errorf("broker %s: %w: the backend gave it a password before: set COMA_BROKER_USER and COMA_BROKER_PASSWORD again, or name the broker anew with --broker", uplink.Redact(u.URL), api.ErrInvalid)
		}
		u.URL, u.Secret = uplink.Redact(u.URL), u.Password != ""
		if len(choices) > 0 {
			u.HostName = cmp.Or(u.HostName, choices[0].HostName)
			u.NoMirror = u.NoMirror || choices[0].NoMirror
		}
		u.HostName = cmp.Or(u.HostName, getenv(hostNameVariable))
		return u, nil
	}
	return Uplink{}, nil
}

// credentials takes user and password from a broker's URL, if they are there.
func (u *Uplink) credentials(address string) {
	if parsed, err := url.Parse(address); err == nil && parsed.User != nil {
		u.User = parsed.User.Username()
		u.Password, _ = parsed.User.Password()
	}
}

// Secrets are the environment variables from which ChooseUplink reads user and password, for a process that is started
// with the rest on its command line, which others can see.
func (u Uplink) Secrets() map[string]string {
	if u.User == "" {
		return nil
	}
	return map[string]string{brokerUser: u.User, brokerPassword: u.Password}
}

// Same says, with an error, whether a backend that runs uses the broker that is meant.
func (u Uplink) Same(shown string) error {
	if u.URL == "" || uplink.Redact(u.URL) == shown {
		return nil
	}
	return fmt.Errorf("the backend that runs uses %s, not %s", shown, uplink.Redact(u.URL))
}
