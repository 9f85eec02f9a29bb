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
	Mode   Mode   `json:"mode,omitempty"`
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
	// come and go while their module lives on, one at a time: ErrInUse where another is connected. When the connection
	// ends without "close", the seat waits for the next, for as long as the module lives.
	Continue Mode = "continue"
)

type openResult struct {
	Version string `json:"version"`        // of the host
	Hand    uint64 `json:"hand,omitempty"` // with Continue: the message in hand, by its seq: the next ack finishes with it
}

type closeParams struct {
	Outcome api.Outcome `json:"outcome"`
	Done    uint64      `json:"done,omitempty"` // all up to here are finished with
	Hand    uint64      `json:"hand,omitempty"` // the message that the module has in hand; 0: none
}

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

type sendParams struct {
	wireMessage
	Resent bool `json:"resent,omitempty"` // the connection was lost before the first attempt was answered
}

type endedParams struct {
	api.Identity
	Outcome api.Outcome `json:"outcome"`
}

type pattern struct {
	Pattern string `json:"pattern"`
}

type textParams struct {
	Text string `json:"text"`
}

type count struct {
	Count int `json:"count"`
}

type kept struct {
	Key   string `json:"key"`
	Value []byte `json:"value,omitempty"`
	Found bool   `json:"found,omitempty"`
}

type moduleParams struct {
	Module string `json:"module"`
}

type consoleParams struct {
	Module string        `json:"module"`
	Text   string        `json:"text,omitempty"`
	Entry  *api.LogEntry `json:"entry,omitempty"`
}

type mailboxParams struct {
	Agent  string   `json:"agent"`
	Module string   `json:"module,omitempty"`
	Dead   bool     `json:"dead,omitempty"`
	IDs    []string `json:"ids,omitempty"`
}

// memoryOf says whose memory is meant.
type memoryOf struct {
	Agent string `json:"agent,omitempty"` // "": the module's own
}

func (m memoryOf) agent() string { return m.Agent }

type recordsParams struct {
	memoryOf
	Records []api.Record `json:"records"`
}

type selectParams struct {
	memoryOf
	Select api.Selection `json:"select,omitzero"`
}

type queryParams struct {
	memoryOf
	Query api.Query `json:"query"`
}

type retrieveParams struct {
	memoryOf
	Retrieval api.Retrieval `json:"retrieval"`
}

type whichParams struct {
	memoryOf
	IDs    []string    `json:"ids,omitempty"`
	Filter *api.Filter `json:"filter,omitempty"`
}

type countParams struct {
	memoryOf
	Filter *api.Filter `json:"filter,omitempty"`
}

type agentParams struct {
	Agent string `json:"agent"`
}

// none is no parameters, or no result: an empty object.
type none struct{}

type memoriesParams struct {
	All bool `json:"all,omitempty"`
}

type embedderParams struct {
	Agent    string `json:"agent"`
	Embedder string `json:"embedder,omitempty"`
}

type progressParams struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

type memoryFile struct {
	Agent   string `json:"agent"`
	Path    string `json:"path"`
	Replace bool   `json:"replace,omitempty"`
}
