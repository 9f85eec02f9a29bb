package link

import (
	"encoding/json"
	"strconv"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// Methods that a module calls, once "open" has seated it.
const (
	methodOpen        = "open"        // Claim → openResult
	methodClose       = "close"       // closeParams
	methodSend        = "send"        // sendParams
	methodNext        = "next"        // notification, nextParams: finished with all up to Ack, hand me the next
	methodLater       = "later"       // notification, nextParams: finished with all up to Ack, wants none at present
	methodPoll        = "poll"        // nextParams: as next, answered when what is there has been pushed
	methodPending     = "pending"     // → count
	methodPublish     = "publish"     // api.Publication
	methodSubscribe   = "subscribe"   // pattern
	methodUnsubscribe = "unsubscribe" // pattern
	methodLog         = "log"         // notification, api.LogEntry
	methodPrint       = "print"       // notification, text
	methodInput       = "input"       // text → text
	methodKeep        = "keep"        // kept
	methodKept        = "kept"        // kept → kept
)

// Methods that the host calls on a module or an attached host.
const (
	methodMessage       = "message"       // notification, wireMessage: the next message for the module
	methodSeatEnded     = "ended"         // notification, jsonrpc.Error: the seat is gone, as to a newer generation
	methodConsoleLog    = "console.log"   // notification, consoleParams
	methodConsolePrint  = "console.print" // notification, consoleParams
	methodConsoleInput  = "console.input" // consoleParams → text
	methodConsoleListen = "heard"         // notification, api.Heard
	methodProgress      = "progress"      // notification, progressParams
)

// Methods of a memory; the agent is the module's own unless named.
const (
	methodMemoryAdd      = "memory.add"      // recordsParams → ids
	methodMemoryGet      = "memory.get"      // selectParams → records
	methodMemoryQuery    = "memory.query"    // queryParams → matches
	methodMemoryRetrieve = "memory.retrieve" // retrieveParams → matches
	methodMemoryUpdate   = "memory.update"   // recordsParams
	methodMemoryDelete   = "memory.delete"   // whichParams → count
	methodMemoryCount    = "memory.count"    // countParams → count
	methodMemoryClear    = "memory.clear"    // memoryOf → count
)

// Methods of those who run agents, and of tools.
const (
	methodAttach    = "agent.attach"      // api.Attachment → api.Endpoint
	methodReport    = "agent.report"      // api.ModuleState
	methodEnded     = "agent.ended"       // endedParams
	methodRemove    = "agent.remove"      // module
	methodDetach    = "agent.detach"      //
	methodStatus    = "status"            // → api.Status
	methodAgents    = "agents"            // → []api.AgentState
	methodForget    = "agent.forget"      // agentParams
	methodPost      = "post"              // sendParams
	methodListen    = "listen"            // pattern; answers with "heard" until it is cancelled
	methodMailboxes = "mailboxes"         // mailboxParams → []api.Mailbox
	methodWaiting   = "mailbox.waiting"   // mailboxParams → []wireMessage
	methodRedeliver = "mailbox.redeliver" // mailboxParams → count
	methodDropDead  = "mailbox.drop"      // mailboxParams → count
	methodMemories  = "memories"          // memoriesParams → []api.MemoryInfo
	methodOpenMem   = "memory.open"       // agentParams; held until the connection ends, or
	methodCloseMem  = "memory.close"      // agentParams
	methodCreateMem = "memory.create"     // embedderParams
	methodReembed   = "memory.reembed"    // embedderParams → api.MemoryInfo; tells "progress" until it answers
	methodRemoveMem = "memory.remove"     // agentParams
	methodCompact   = "memory.compact"    // agentParams → api.MemoryInfo
	methodBackup    = "memory.backup"     // memoryFile → api.MemoryInfo
	methodRestore   = "memory.restore"    // memoryFile → api.MemoryInfo
	methodShutdown  = "shutdown"          //
)

// Claim says who opens a session, and what of the module it is to have.
type Claim struct {
	api.Identity
	Mode   Mode   `json:"mode,omitempty"`   // how it relates to the module's seat
	Resume bool   `json:"resume,omitempty"` // this very session again, after the connection was lost
	Hand   uint64 `json:"hand,omitempty"`   // with Resume: the message that the module has in hand, by its seq; 0: none
	Done   uint64 `json:"done,omitempty"`   // with Resume: all up to here are finished with
}

// Mode says how a session relates to the module's seat.
type Mode string

const (
	// Seated takes the seat: whoever had it is told that a newer session has replaced it.
	Seated Mode = ""
	// Guest speaks as the module and leaves its seat alone: it does not receive. What it subscribes to, the module hears.
	Guest Mode = "guest"
	// Continue takes up the seat of this generation as it was left: the message in hand still is. For programs that
	// come and go while their module lives on, one at a time: error 1009 where another is connected. When the connection
	// ends without "close", the seat waits for the next, for as long as the module lives.
	Continue Mode = "continue"
)

// openResult says that the session is open.
type openResult struct {
	Version string `json:"version"`        // of the host
	Hand    uint64 `json:"hand,omitempty"` // with mode "continue": the message in hand, by its seq: the next ack finishes with it
}

// closeParams say how a module ended.
type closeParams struct {
	Outcome api.Outcome `json:"outcome"`        // how it ended, which decides what becomes of the message in hand
	Done    uint64      `json:"done,omitempty"` // all up to here are finished with
	Hand    uint64      `json:"hand,omitempty"` // the message that the module has in hand; 0: none
}

// nextParams say how far a module has come.
type nextParams struct {
	Ack uint64 `json:"ack,omitempty"` // all up to and including this seq are finished with
}

// AppendJSON implements jsonrpc.Appender.
func (p nextParams) AppendJSON(b []byte) ([]byte, error) {
	b = append(b, `{"ack":`...)
	b = strconv.AppendUint(b, p.Ack, 10)
	return append(b, '}'), nil
}

func (p *nextParams) parse(data []byte) error {
	usual := jsonrpc.Scan(data, func(key, value []byte) (ok bool) {
		var err error
		p.Ack, err = strconv.ParseUint(string(value), 10, 64)
		return err == nil && string(key) == "ack"
	})
	if usual {
		return nil
	}
	*p = nextParams{}
	return json.Unmarshal(data, p)
}

// sendParams are a message to be sent.
type sendParams struct {
	wireMessage
	Resent bool `json:"resent,omitempty"` // the connection was lost before the first attempt was answered
}

// endedParams say how a generation of a module ended.
type endedParams struct {
	api.Identity
	Outcome api.Outcome `json:"outcome"` // how it ended, which decides what becomes of the message in hand
}

// pattern says which topics are meant.
type pattern struct {
	Pattern string `json:"pattern"` // of MQTT, with + and #
}

// textParams are a text.
type textParams struct {
	Text string `json:"text"` // as it is; a question has no line end, nor has its answer
}

// count is how many there are, or were.
type count struct {
	Count int `json:"count"` // how many
}

// kept is a value that a module keeps for its later generations.
type kept struct {
	Key   string `json:"key"`             // its name; a module has at most 1000
	Value []byte `json:"value,omitempty"` // at most 1 MiB
	Found bool   `json:"found,omitempty"` // there is a value
}

// moduleParams say which module is meant.
type moduleParams struct {
	Module string `json:"module"` // the module's name
}

// consoleParams are what a module says to the outside.
type consoleParams struct {
	Module string        `json:"module"`          // who says it
	Text   string        `json:"text,omitempty"`  // what is shown, or asked
	Entry  *api.LogEntry `json:"entry,omitempty"` // what is logged
}

// mailboxParams say what is meant of which mailboxes.
type mailboxParams struct {
	Agent  string   `json:"agent"`            // the agent's name
	Module string   `json:"module,omitempty"` // the module's name; not needed where all of an agent's are meant
	Dead   bool     `json:"dead,omitempty"`   // its dead letters rather than what waits
	IDs    []string `json:"ids,omitempty"`    // of letters; all of them if not given
}

// memoryOf says whose memory is meant.
type memoryOf struct {
	Agent string `json:"agent,omitempty"` // the agent's name; "": the module's own
}

func (m memoryOf) agent() string { return m.Agent }

// recordsParams are records to be stored or changed.
type recordsParams struct {
	memoryOf
	Records []api.Record `json:"records"` // to change one, give its id and what is to be different
}

// selectParams say which records are meant.
type selectParams struct {
	memoryOf
	Select api.Selection `json:"select,omitzero"` // which records; all, if not given
}

// queryParams ask for the nearest records.
type queryParams struct {
	memoryOf
	Query api.Query `json:"query"` // what they are to be near to
}

// retrieveParams ask for records by a retriever.
type retrieveParams struct {
	memoryOf
	Retrieval api.Retrieval `json:"retrieval"` // by which retriever, and what it goes by
}

// whichParams say which records are meant: by their ids, by a filter, or those that both say.
type whichParams struct {
	memoryOf
	IDs    []string    `json:"ids,omitempty"`    // of records
	Filter *api.Filter `json:"filter,omitempty"` // what the records must be like
}

// countParams say which records are counted.
type countParams struct {
	memoryOf
	Filter *api.Filter `json:"filter,omitempty"` // what the records must be like; any, if not given
}

// agentParams say which agent is meant.
type agentParams struct {
	Agent string `json:"agent"` // the agent's name
}

// none is no parameters, or no result: an empty object.
type none struct{}

// memoriesParams say which memories are meant.
type memoriesParams struct {
	All bool `json:"all,omitempty"` // the other collections of Chroma clients, too
}

// embedderParams say whose vectors an agent's memory is to have.
type embedderParams struct {
	Agent    string `json:"agent"`              // the agent's name
	Embedder string `json:"embedder,omitempty"` // by name; the host's default if not given
}

// progressParams say how far the work has come.
type progressParams struct {
	Done  int `json:"done"`  // records
	Total int `json:"total"` // records, of all that there are to do
}

// memoryFile says which file has, or is to have, an agent's memory.
type memoryFile struct {
	Agent   string `json:"agent"`             // the agent's name
	Path    string `json:"path"`              // on the host's machine; it ends in .json or .jsonl.gz
	Replace bool   `json:"replace,omitempty"` // what is there goes first; without it, restoring is refused where records are
}
