package chroma

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// AttributeKey is the attribute under which a memory keeps what Chroma's clients need to know of it.
const AttributeKey = "chroma"

// AgentPrefix is what the names of collections that are agents' memories begin with, the Python framework's own.
const AgentPrefix = "concurrent_modular_agent-state-"

// The tenant and the database that are always there. Agents' memories are in them.
const (
	defaultTenant   = "default_tenant"
	defaultDatabase = "default_database"
)

// collection is what is known of a collection. It is not changed: a change makes a new one.
type collection struct {
	key  Key
	attr string // as the memory has it; "" where it has none

	ID            string        `json:"id"`
	Name          string        `json:"name"`
	Tenant        string        `json:"tenant"`
	Database      string        `json:"database"`
	Metadata      api.Metadata  `json:"metadata,omitempty"` // nil: null
	Configuration configuration `json:"configuration"`
	Deleted       bool          `json:"deleted,omitempty"`
}

// place is where names of collections are unique.
type place struct{ tenant, database, name string }

func (c *collection) place() place { return place{c.Tenant, c.Database, c.Name} }

// Name returns the name of a collection, and "tenant/database/" before it where those are not the default ones, of the
// attribute of its memory.
func Name(attribute []byte) (string, error) {
	var c collection
	if err := json.Unmarshal(attribute, &c); err != nil {
		return "", fmt.Errorf("read collection's attribute: %w", err)
	}
	if c.Tenant != defaultTenant || c.Database != defaultDatabase {
		return c.Tenant + "/" + c.Database + "/" + c.Name, nil
	}
	return c.Name, nil
}

// collectionOf makes a collection of what a memory says of itself. An agent's memory that says nothing was made by the
// agent's modules: it shows as Chroma's own default would have made it, as far as that is true.
func collectionOf(key Key, embedder string, attribute []byte) (*collection, error) {
	if len(attribute) == 0 {
		if key.Agent == "" {
			return nil, fmt.Errorf("memory of collection %s does not say what it is: %w", key.Collection, api.ErrInvalid)
		}
		c := &collection{
			key: key, ID: agentID(key.Agent), Name: AgentPrefix + key.Agent,
			Tenant: defaultTenant, Database: defaultDatabase, Configuration: defaultConfiguration(),
		}
		c.Configuration.Embedding = embeddingOf(embedder)
		return c, nil
	}
	c := &collection{key: key, attr: string(attribute)}
	if err := json.Unmarshal(attribute, c); err != nil {
		return nil, fmt.Errorf("read attribute of memory %s%s: %w", key.Agent, key.Collection, err)
	}
	return c, nil
}

// embeddingOf returns the configuration with which Chroma's clients embed as the embedder of that name does.
func embeddingOf(embedder string) json.RawMessage {
	if embedder == "" || embedder == "minilm" {
		return json.RawMessage(defaultEmbedding)
	}
	if model, ok := strings.CutPrefix(embedder, "openai:"); ok {
		config, err := json.Marshal(map[string]string{"api_key_env_var": "OPENAI_API_KEY", "model_name": model})
		if err == nil {
			return json.RawMessage(`{"type":"known","name":"openai","config":` + string(config) + `}`)
		}
	}
	return nil
}

// agentID is the id of an agent's memory that has been given none: always the same for the same name.
func agentID(agent string) string {
	sum := sha256.Sum256([]byte("coma agent " + agent))
	return formatID([16]byte(sum[:16]))
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return formatID(b)
}

// formatID makes a UUID of version 4 of 16 bytes.
func formatID(b [16]byte) string {
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var idForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// A collection's name has this form, of at least three characters, and so many at most: counted here, and not by the
// pattern, which would take each start of coma longer to make.
var nameForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]+[a-zA-Z0-9]$`)

const maxName = 512

// checkName checks the name of a new collection; field is the request's.
func checkName(field, name string) error {
	switch {
	case len(name) > maxName || !nameForm.MatchString(name):
		return invalid("Validation error: %s: Expected a name containing 3-512 characters from [a-zA-Z0-9._-], starting and ending with a character in [a-zA-Z0-9]. Got: %s", field, name)
	case strings.Contains(name, ".."):
		return invalid("Validation error: %s: Expected a name that does not contains two consecutive periods (..). Got %s", field, name)
	case net.ParseIP(name) != nil:
		return invalid("Validation error: %s: Expected a name that is not a valid ip address. Got %s", field, name)
	}
	return nil
}

// encode returns the attribute that says what the collection is.
func (c *collection) encode() ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode collection %s: %w", c.Name, err)
	}
	return data, nil
}

// json is the collection as clients get it.
func (c *collection) json(head Head) map[string]any {
	config, schema := c.Configuration.json()
	var dimension any
	if head.Dimension > 0 {
		dimension = head.Dimension
	}
	var metadata any
	if c.Metadata != nil {
		metadata = c.Metadata
	}
	return map[string]any{
		"id": c.ID, "name": c.Name, "tenant": c.Tenant, "database": c.Database, "dimension": dimension,
		"metadata": metadata, "configuration_json": config, "schema": schema, "log_position": 0, "version": 0,
	}
}
