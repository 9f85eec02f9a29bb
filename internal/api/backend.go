package api

import (
	"context"
	"time"
)

// Backend is what a host offers to those who run agents (package supervisor) and to tools (cmd/coma). Package backend
// implements it in process; package link offers the same over a connection.
type Backend interface {
	// Attach announces that the caller runs an agent, and takes what its modules say to the outside. One caller at a
	// time runs an agent: ErrInUse tells who does.
	Attach(ctx context.Context, agent Attachment, out Console) (Host, error)

	Status(ctx context.Context) (Status, error)
	// Agents tells of all agents that run, sorted by name.
	Agents(ctx context.Context) ([]AgentState, error)
	// Forget removes all that is kept of an agent: its memory, if it is at this backend, its mailboxes with all messages,
	// what its modules kept. ErrInUse while anybody runs or uses it.
	Forget(ctx context.Context, agent string) error
	// Post sends a message from outside, as from ("cli").
	Post(ctx context.Context, from string, m Message) error
	// Publish sends bytes from outside to any MQTT topic, as Session.Publish does for a module.
	Publish(ctx context.Context, from string, p Publication) error
	// Listen calls heard for everything published on topics that match an MQTT pattern, until ctx ends; the first call,
	// without a topic, says that it listens. Messages to
	// modules are among it, on MessageTopic. What a slow listener misses is counted in Heard.Missed of the next one.
	Listen(ctx context.Context, pattern string, heard func(Heard)) error

	// Mailboxes tells of the mailboxes of an agent, whether its modules run or not.
	Mailboxes(ctx context.Context, agent string) ([]Mailbox, error)
	// Waiting returns copies of the messages that wait for a module, oldest first; dead: its dead letters instead.
	Waiting(ctx context.Context, agent, module string, dead bool) ([]Message, error)
	// Redeliver puts dead letters (all, if no id is named) back into the module's mailbox and returns how many.
	Redeliver(ctx context.Context, agent, module string, ids []string) (int, error)
	// DropDead forgets dead letters (all, if no id is named) and returns how many.
	DropDead(ctx context.Context, agent, module string, ids []string) (int, error)

	// Memories tells of all agents' memories, sorted by name; with all, of the other collections that Chroma clients have
	// made after them.
	Memories(ctx context.Context, all bool) ([]MemoryInfo, error)
	// OpenMemory returns an agent's memory, which is held open until it is closed; ErrNotFound where there is none.
	OpenMemory(ctx context.Context, agent string) (OpenedMemory, error)
	// CreateMemory makes an empty memory for an agent that has none, and leaves one that is there as it is. embedder is
	// whose vectors it is about to be given; "": those that it makes itself; "given": nobody's that could make more. In a
	// memory with records it must be theirs.
	CreateMemory(ctx context.Context, agent, embedder string) error
	RemoveMemory(ctx context.Context, agent string) error
	// ReembedMemory makes all vectors of a memory anew with the embedder of that name, and makes it the memory's own.
	// progress, if not nil, is called now and then. Ended in between, it has changed nothing.
	ReembedMemory(ctx context.Context, agent, embedder string, progress func(done, total int)) (MemoryInfo, error)
	// BackupMemory writes a memory to a file on the host's machine, RestoreMemory reads it back; the name's ending
	// (.json or .jsonl.gz) says how.
	BackupMemory(ctx context.Context, agent, path string) (MemoryInfo, error)
	RestoreMemory(ctx context.Context, agent, path string, replace bool) (MemoryInfo, error)

	// CompactMemory gives the room of deleted records back to the disk.
	CompactMemory(ctx context.Context, agent string) (MemoryInfo, error)

	// Shutdown asks a backend that runs as a daemon to stop.
	Shutdown(ctx context.Context) error
}

// OpenedMemory is a memory that somebody outside the agent has opened. Processes other than the host cannot open it
// meanwhile.
type OpenedMemory interface {
	Memory
	Close() error
}

// Host is the seat of whoever runs an agent.
type Host interface {
	// Endpoint tells where the agent's module processes find the host.
	Endpoint() Endpoint
	// Open seats a module that runs in the caller's own process.
	Open(ctx context.Context, id Identity) (Session, error)
	// Report publishes the state of one module.
	Report(ctx context.Context, state ModuleState) error
	// Ended says how a generation's process ended; its session is closed with that outcome if it is still there.
	Ended(ctx context.Context, id Identity, outcome Outcome) error
	// Remove forgets a module: its state, its mailbox with all messages, what it kept.
	Remove(ctx context.Context, module string) error
	// Close leaves the agent; mailboxes stay.
	Close() error
}

// Console takes what an agent's modules say to the outside. Its methods are called concurrently.
type Console interface {
	Log(module string, entry LogEntry)
	Print(module, text string)
	Input(ctx context.Context, module, prompt string) (string, error)
}

// Attachment describes an agent that is run.
type Attachment struct {
	Agent   string   `json:"agent"`             // the agent's name
	Project string   `json:"project,omitempty"` // the folder that its modules are in
	PID     int      `json:"pid"`               // of the process that runs it
	Modules []string `json:"modules"`           // known at the start: their mailboxes exist from here on
	Durable bool     `json:"durable,omitempty"` // a message is on disk before its sender is told that it has been accepted
	Limit   int      `json:"limit,omitempty"`   // waiting messages a mailbox; 0: the default
	MQTT    []string `json:"mqtt,omitempty"`    // those of Modules that take their messages as MQTT clients, by their message topic

	Memory MemorySettings `json:"memory,omitzero"` // how the agent's memory is kept
}

// MemorySettings say how an agent's memory is kept while the agent runs.
type MemorySettings struct {
	Embedder string        `json:"embedder,omitempty"` // whose vectors it has, by name; "": the memory's own, else the default
	TTL      time.Duration `json:"ttl,omitempty"`      // in nanoseconds; records older than this go; 0: none do
	Limit    int           `json:"limit,omitempty"`    // no more records than these, the oldest go; 0: any number
	At       string        `json:"at,omitempty"`       // http(s)://host:port of the backend that has the memory; "": this one
}

// Endpoint tells a module's process where its host is; these become COMA_API, COMA_BROKER and COMA_TOKEN.
type Endpoint struct {
	API    string `json:"api"`            // unix:///path or http://host:port
	Broker string `json:"broker"`         // mqtt://host:port
	Token  string `json:"token"`          // that lets the modules in
	HTTP   string `json:"http,omitempty"` // http://host:port, where Chroma's clients find the memories; becomes COMA_HTTP
}

// States of a module.
const (
	Starting = "starting" // its code is being loaded
	Running  = "running"
	Stopping = "stopping" // it has been asked to stop (told of programs in other languages only)
	Waiting  = "waiting"  // failed or ended, waits for its restart
	Done     = "done"     // ended and not restarted
	Failed   = "failed"   // ended with a failure and not restarted, or its code does not load
)

// ModuleState is what is known of a module. It is retained, as JSON, on the MQTT topic coma/agents/{agent}/modules/{module}.
type ModuleState struct {
	Agent      string    `json:"agent"`                                                             // the agent's name
	Module     string    `json:"module"`                                                            // the module's name
	State      string    `json:"state" schema:"enum=starting|running|stopping|waiting|done|failed"` // starting: its code is being loaded; waiting: it has failed or ended, and waits for its restart; done: it has ended and is not restarted; failed: it has ended with a failure and is not restarted, or its code does not load
	Generation int       `json:"generation"`                                                        // which version of the module's source it runs, from 1
	PID        int       `json:"pid,omitempty"`                                                     // of its process; 0 for modules without one of their own
	Isolation  string    `json:"isolation,omitempty"`                                               // "process", or "none": it runs in the process that runs its agent
	Engine     string    `json:"engine,omitempty"`                                                  // what runs its code: "yaegi" (interpreted Go), "go" (compiled), "exec" (another program)
	Host       string    `json:"host,omitempty"`                                                    // the name of the backend's host, where several share a broker
	Mailbox    string    `json:"mailbox,omitempty"`                                                 // "mqtt": it takes its messages as an MQTT client; "": by the host's API
	Restarts   int       `json:"restarts"`                                                          // how often it was started anew after it had ended
	Since      time.Time `json:"since,omitzero"`                                                    // when it entered the state
	LastError  string    `json:"last_error,omitempty"`                                              // why it ended last
	Pending    int       `json:"pending"`                                                           // messages not finished with, the one in hand among them; told where one asks for agents
	Dead       int       `json:"dead,omitempty"`                                                    // dead letters, likewise
	Dropped    uint64    `json:"dropped,omitempty"`                                                 // publications that a full mailbox did not take, likewise
}

// AgentState is what is known of an agent that runs.
type AgentState struct {
	Agent   string        `json:"agent"`             // the agent's name
	Project string        `json:"project,omitempty"` // the folder that its modules are in
	PID     int           `json:"pid"`               // of the process that runs it
	Modules []ModuleState `json:"modules"`           // its modules, by name
}

// Mailbox is what is known of a mailbox.
type Mailbox struct {
	Module  string `json:"module"`  // whose it is
	Waiting int    `json:"waiting"` // messages not finished with, the one in hand among them
	Dead    int    `json:"dead"`    // dead letters: messages that the module has died on five times
	Dropped uint64 `json:"dropped"` // publications that it was too full to take
}

// Heard is something published.
type Heard struct {
	Topic   string    `json:"topic"`            // on which it was published
	Payload []byte    `json:"payload"`          // what was published
	From    string    `json:"from,omitempty"`   // who published it: "agent/module", "mqtt:" and a client's id, "cli" or "rest"
	Time    time.Time `json:"time"`             // when it came to the host
	Retain  bool      `json:"retain,omitempty"` // the broker had kept it for those who come later
	Missed  int       `json:"missed,omitempty"` // how many were left out before this one
}

// MemoryInfo is what is known of a memory.
type MemoryInfo struct {
	Name       string `json:"name"`                 // of the agent, or of the collection
	Collection string `json:"collection,omitempty"` // the ID of a collection that is no agent's

	Records   int    `json:"records"`             // how many there are
	Bytes     int64  `json:"bytes"`               // on disk
	Held      int64  `json:"held,omitempty"`      // bytes in the backend's own memory, about, while it is open there
	Embedder  string `json:"embedder,omitempty"`  // whose vectors it has, by name
	Dimension int    `json:"dimension,omitempty"` // of its vectors

	TTL   time.Duration `json:"ttl,omitempty"`   // in nanoseconds; records older than this go; 0: none do
	Limit int           `json:"limit,omitempty"` // no more records than these, the oldest go; 0: any number

	Oldest  time.Time `json:"oldest,omitzero"`   // the time of the oldest record
	Newest  time.Time `json:"newest,omitzero"`   // the time of the newest record
	Problem string    `json:"problem,omitempty"` // why the rest is not known
}

// Status is what is known of a backend.
type Status struct {
	PID     int       `json:"pid"`              // of its process
	Version string    `json:"version"`          // of coma
	Daemon  bool      `json:"daemon"`           // it runs by itself, rather than with the agent of a "coma run"
	Started time.Time `json:"started"`          // when it was started
	Socket  string    `json:"socket"`           // the unix socket that the API is on
	API     string    `json:"api,omitempty"`    // http://host:port
	Broker  string    `json:"broker,omitempty"` // mqtt://host:port
	Agents  int       `json:"agents"`           // how many run
	Clients int       `json:"clients"`          // how many MQTT clients there are

	External bool     `json:"external,omitempty"` // the broker is not the backend's own
	Host     string   `json:"host,omitempty"`     // where External: the name by which the other hosts at that broker know this one
	Away     string   `json:"away,omitempty"`     // where External: why the broker is out of reach just now; "": it is not
	Problems []string `json:"problems,omitempty"` // what does not work, for people
}

// MessageTopic is the MQTT topic of a module's messages, the Python framework's own scheme.
func MessageTopic(agent, module string) string {
	return "concurrent_modular_agent/message/" + agent + "/" + module
}

// StateTopic is the MQTT topic of a module's retained state.
func StateTopic(agent, module string) string {
	return "coma/agents/" + agent + "/modules/" + module
}
